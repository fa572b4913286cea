"""Release sets: what people ask of them, and the coordinator that carries them out."""
