"""The training that is measured, in its own process: the task's loop, stopped between two blocks."""
