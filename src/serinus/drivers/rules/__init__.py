"""Rule engines and the sandbox that runs them."""
