"""A running study as its rows tell it, and its trials' logs as they grow."""
