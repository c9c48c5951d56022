from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disks import mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that a few megabytes fill."""
    with mounted(tmp_path / "disk", megabytes=4) as folder:
        yield folder
