"""What the control plane asks of the outside world: small Protocols and their values."""
