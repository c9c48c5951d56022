"""How often a coordinator looks, and how long it waits."""

TICK_SECONDS = 0.2
"""The longest wait for word of trials, before the clock and the display get their turn."""
GRACE_SECONDS = 30.0
"""For trials to write their checkpoints after the first Ctrl-C."""
PUBLISH_SECONDS = 30.0
"""For the last records to reach MLflow; what is left then is delivered by the next start."""
