"""The copy of a study in MLflow: delivered from marked rows, shown by MLflow's own server."""
