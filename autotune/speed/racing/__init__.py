"""The race: which knobs make a training faster, by heats against the setting to beat."""
