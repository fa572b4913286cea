"""Who may call, with which secrets, and the log of what they did."""
