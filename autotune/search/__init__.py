"""The Optuna side: a search space on this machine, samplers, pruners, storage."""
