"""Rulesets: kept in versions, tested, executed, and their failures shown."""
