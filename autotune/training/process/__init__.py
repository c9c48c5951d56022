"""The processes that train: a task is loaded, rehearsed and run as a trial, and its model built again."""
