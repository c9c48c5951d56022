"""Whether a winner is better than the baseline: what trainings on fresh seeds say, without torch or SQL."""
