"""Simulation: what a policy does, found out on synthetic traffic before it is switched on.

:mod:`.world` says what a world is like, ``worlds/`` holds those that we ship, :mod:`.traffic` makes
their windows, :mod:`.run` lets :func:`serinus.core.decide.decide` look at them on a fake clock,
:mod:`.oracle` is the limit that no judge can pass, :mod:`.summary` counts, :mod:`.report` shows.
"""
