import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.recording.races import RaceRecords
from autotune.report.summaries.reading import read_study
from autotune.report.text.ending import found_lines
from autotune.speed.racing.result import Gain
from autotune.speed.racing.words import race_words
from tests.e2e.browser import serve
from tests.e2e.documents import ROOT, Step, read_file, read_steps, run_steps
from tests.e2e.home import Home, make_home
from tests.machines import machine
from tests.report.raced import BESIDE, result_of, row_of
from tests.report.study_book import StudyBook

TUTORIAL = ROOT / "docs" / "tutorial.md"
SETTING_UP = ("python3 -m venv .venv", ". .venv/bin/activate", "pip install .", "mkdir ../tuning && cd ../tuning")
"""What stands before the script: tests/e2e/test_wheel.py installs into an environment of its own."""
START = "autotune study start tuned/tuned.yaml --trials 12"
HOME = "autotune study best tuned --format command"
"""Where the tutorial turns from what was found to what is done with it."""
SERVERS = ("autotune dashboard", "autotune mlflow")
QUICK = "--set 'speed={torch_threads: 1}' --set log_model=false"
"""A race takes up to a minute, and has tests of its own; so has the model in MLflow."""


def test_tutorial_tells_of_a_race_as_a_study_does(tmp_path: Path) -> None:
    """The study is run without its race below: a race's figures and winner are the machine's."""
    storage = f"sqlite:///{tmp_path / 'autotune.db'}"
    gain = Gain(ratio=1.66, low=1.57, high=1.77, num_quads=12)
    confirmed = BESIDE.model_copy(update={"stage": "confirm", "gain": gain})
    setting = {"cache": "memory", "torch_threads": 1}
    result = result_of(setting=setting, gain=gain, heats=(confirmed,), seconds=20.0)
    book = StudyBook(storage, name="tuned")
    row = replace(row_of(result), workload={"batch_size": 32, "optimizer": "sgd"})
    races = RaceRecords(book.records.engine)
    races.add(row, machine=machine(), study=book.row)
    races.charge(book.row, digest=row.workload_digest, machine=machine(), seconds=20.0)
    found = [line for line in found_lines(read_study(storage, name="tuned").study) if "races: " in line]
    document = TUTORIAL.read_text()
    assert len(found) == 1
    assert "\n".join(found) in document
    assert f"race: {race_words(result)}\n" in document


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Home:
    """A folder in which the tutorial was followed up to the end of its study; each step printed what it says there."""
    home = make_home(tmp_path_factory.mktemp("tutorial"), store=empty_store)
    (home.folder / "train.py").write_text(read_file(TUTORIAL, "train.py").partition("\n")[2])
    commands = read_steps(TUTORIAL)
    assert tuple(step.command for step in commands[: len(SETTING_UP)]) == SETTING_UP
    run_steps(_first_steps(), home=home, shorter={START: QUICK})
    return home


def _first_steps() -> Iterator[Step]:
    steps = read_steps(TUTORIAL)[len(SETTING_UP) :]
    yield from steps[: 1 + [step.command for step in steps].index(START)]


def _later_steps() -> list[Step]:
    return [*read_steps(TUTORIAL)[len(SETTING_UP) + len([*_first_steps()]) :]]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tutorial_reads_its_study_and_proves_the_winner_as_it_says(tuned: Home) -> None:
    steps = itertools.takewhile(lambda step: step.command != HOME, _later_steps())
    run_steps(steps, home=tuned, shorter={"autotune study watch tuned": "--wait 0"})  # nothing starts it again


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tutorial_takes_the_winner_home_as_it_says(tuned: Home) -> None:
    steps = [*itertools.dropwhile(lambda step: step.command != HOME, _later_steps())]
    assert [step.command for step in steps if step.command in SERVERS] == list(SERVERS)
    run_steps((step for step in steps if step.command not in SERVERS), home=tuned, shorter={})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_servers_of_the_tutorial_print_what_it_says(tuned: Home) -> None:
    steps = [step for step in _later_steps() if step.command in SERVERS]
    assert [step.command for step in steps] == list(SERVERS)
    for step in steps:
        with serve(tuned, step.command.removeprefix("autotune ")) as lines:
            assert step.is_as_printed("\n".join(line.strip() for line in lines)), f"{step.command}: {lines}"
