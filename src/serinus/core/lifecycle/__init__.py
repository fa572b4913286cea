"""Which states exist, what may follow what, and what each move does."""
