"""What Optuna's dashboard and MLflow's UI say of a study in words, and at which address."""
