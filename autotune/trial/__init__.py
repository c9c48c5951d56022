"""Trial processes: started from a fork server or anew, heard over a pipe, always ended."""
