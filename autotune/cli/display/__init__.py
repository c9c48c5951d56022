"""What a terminal, a pipe or a log sees of a study while it runs."""
