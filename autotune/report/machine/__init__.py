"""What a machine offers to studies: whether it is set up, its speed parameters, and the search spaces on it."""
