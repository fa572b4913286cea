"""The imperative shell: commands, the monitor, the outbox, and the views that screens share."""
