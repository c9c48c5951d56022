import subprocess
import sys

import pytest

import autotune.speed


def _printed_by(lines: str) -> str:
    """What a new process prints that runs these lines."""
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout


def test_public_names_are_sorted_and_there() -> None:
    assert autotune.speed.__all__ == sorted(autotune.speed.__all__)
    assert all(not isinstance(getattr(autotune.speed, name), type(sys)) for name in autotune.speed.__all__)


def test_public_functions_stay_functions_whatever_was_imported_before() -> None:
    lines = (
        "import autotune.speed.racing.race; from autotune.speed import compare, measure, race; print(callable(race))"
    )
    assert _printed_by(lines) == "True\n"


def test_lines_of_the_docstring_run_as_they_are() -> None:
    assert autotune.speed.__doc__ is not None
    blocks = autotune.speed.__doc__.split("::\n")[1:]
    code = "\n".join(line[4:] for block in blocks for line in block.splitlines() if line.startswith("    "))
    # By a clock that the steps alone move: a race of so many seconds takes none.
    stand_ins = (
        "import time\n"
        "now = [0.0]\n"
        "time.perf_counter = time.monotonic = lambda: now[0]\n"
        "def make_step(setting):\n"
        "    seconds = 0.001 if setting['layout'] == 'columns' else 0.003\n"
        "    return lambda: now.__setitem__(0, now[0] + seconds)\n"
        "step_with_lists, step_with_tensors = make_step({'layout': 'rows'}), make_step({'layout': 'columns'})\n"
    )
    measured, compared, raced = _printed_by(stand_ins + code).splitlines()
    assert float(measured) == pytest.approx(1 / 0.003)
    assert compared.startswith(("(2.99", "(3.0"))
    assert raced.startswith("{'layout': 'columns'} ratio=")


def test_measuring_imports_no_torch() -> None:
    lines = (
        "import sys; from autotune.speed import compare, measure, race;"
        "measure(lambda: 1, blocks=6, seconds=0.0); compare(lambda: 1, lambda: 1, seconds=0.0);"
        "print('torch' in sys.modules)"
    )
    assert _printed_by(lines) == "False\n"


def test_knobs_are_had_without_the_measuring() -> None:
    lines = (
        "import sys; import autotune.speed.knobs;"
        "print([name for name in ('autotune.speed.measuring.comparison', 'numpy') if name in sys.modules])"
    )
    assert _printed_by(lines) == "[]\n"
