from pathlib import Path

import pytest

from autotune.report.page.composing import Report
from tests.report.page_study import make_report, write_study


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of one study for all tests of a module; none of them changes it."""
    folder: Path = tmp_path_factory.mktemp("report")
    return make_report(write_study(f"sqlite:///{folder}/autotune.db"))
