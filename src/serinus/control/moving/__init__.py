"""What moves a deployment, for calls, looks and release sets alike: draft, start, moves, candidates."""
