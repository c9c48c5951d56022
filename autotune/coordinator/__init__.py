"""One process owns a study while it runs: ask, launch, record, tell."""
