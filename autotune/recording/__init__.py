"""What a study leaves behind: its rows in SQL, its files, and the copy of both in MLflow."""
