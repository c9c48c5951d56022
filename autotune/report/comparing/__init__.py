"""Trials beside others, and beside the noise that a difference has to beat."""
