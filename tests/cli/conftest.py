from pathlib import Path

import pytest


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'autotune.db'}"
