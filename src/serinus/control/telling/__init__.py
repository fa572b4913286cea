"""What people are told: the messages, to whom they are written, and what happens to them on the way."""
