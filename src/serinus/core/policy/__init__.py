"""What a rollout is held to: presets, and the ordered rules that a tick runs through."""
