"""Recorded rows, read and summed up: a trial, a race, a study, and all that is recorded of one."""
