"""Intervals and waits of a coordinator, in seconds."""

TICK_SECONDS = 0.2
"""The longest wait for messages of trials, before the clock and the display get their turn."""
GRACE_SECONDS = 30.0
"""How long trials have to write their checkpoints after the first Ctrl-C."""
PUBLISH_SECONDS = 30.0
"""How long a study's end waits until MLflow has the last records; the next start delivers what is left then."""
