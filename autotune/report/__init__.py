"""Recorded rows as summaries that a person or a script can read."""
