"""What is done to a study and its database between starts, by commands of its own."""
