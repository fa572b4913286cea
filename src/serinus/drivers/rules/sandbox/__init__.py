"""Where rules run: a pool of worker processes that can be killed. Empty, so that workers start fast."""
