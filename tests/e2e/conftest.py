import os
from pathlib import Path

import pytest

from tests.e2e.home import SPEC, TASK, Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("AUTOTUNE_STORAGE", "AUTOTUNE_FILES", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tiny.py").write_text(TASK)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    return Home(tmp_path)
