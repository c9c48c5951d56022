import shutil
from pathlib import Path


def copy_store(store: Path, *, folder: Path) -> str:
    """A copy of this MLflow store where a study in this folder has its own; its URI."""
    (folder / "mlruns").mkdir()
    shutil.copy(store, folder / "mlruns" / "mlflow.db")
    return f"sqlite:///{folder}/mlruns/mlflow.db"
