"""What follows a rollback: proxies are read back, and what was completed is compensated."""
