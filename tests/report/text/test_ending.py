from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from autotune.events import Outcome, Scalar
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.places import Places
from autotune.recording.races import RaceRecords, RaceRow
from autotune.recording.rows import StudyState
from autotune.report.summaries.reading import read_study
from autotune.report.text.ending import ending_lines
from autotune.report.text.places import DEFAULT_STORAGE, DEFAULT_TRACKING_URI, storage_option
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.spec.model import Choice
from autotune.speed.racing.result import RaceResult
from tests.machines import machine
from tests.report.raced import BESIDE, COSTLY, GAIN, UNPROVEN, result_of, row_of
from tests.report.study_book import StudyBook, make_spec

HERE = Places(storage=DEFAULT_STORAGE, tracking_uri=DEFAULT_TRACKING_URI)


def _add_two(book: StudyBook) -> None:
    book.add(0, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.8}], seconds=[9.0, 2.0])
    book.add(1, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.9}], seconds=[9.0, 1.0])


def test_ending_says_what_was_found_and_what_it_gains(storage: str) -> None:
    _add_two(StudyBook(storage))
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "digits: 2 trials (2 complete)" in text
    assert "best: trial 1, val_accuracy 0.9 (baseline 0.8, +0.1)" in text
    assert "1,000 samples/s, 1.5 s an epoch: throughput 2.00x, time an epoch 0.60x of the baseline" in text


def test_ending_says_so_where_the_baseline_is_best(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "digits: 1 trial (1 complete)" in text
    assert "trial 0, val_accuracy 0.8: the baseline itself, the only trial" in text
    book.add(1, epochs=[{"val_accuracy": 0.7}])
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "trial 0, val_accuracy 0.8: the baseline itself; nothing better was found" in text


def test_ending_says_so_where_no_trial_is_complete(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, outcome=Outcome.DIVERGED)
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "No trial is complete yet" in text
    assert "autotune study best" not in text, "it would find none"
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "autotune study report digits  # why no trial was complete, and what to do" in " ".join(text.split("   "))


def test_ending_says_what_races_cost_that_came_to_no_end(storage: str) -> None:
    book = StudyBook(storage)
    _add_two(book)
    RaceRecords(book.records.engine).charge(book.row, digest="a", machine=machine(), seconds=75)
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "races: none came to its end, in 1:15" in text


def test_ending_says_so_where_a_race_tried_nothing(storage: str) -> None:
    """Which is not that nothing was faster."""
    book = StudyBook(storage)
    _add_two(book)
    result = result_of(setting={}, gain=None, heats=(), is_cut_short=True)
    RaceRecords(book.records.engine).add(row_of(result), machine=machine(), study=book.row)
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "races: 1 in 0:00; of batch_size 32: nothing was tried: the time was too short" in text


def test_ending_says_what_the_winner_of_a_race_asks_for_in_return(storage: str) -> None:
    book = StudyBook(storage)
    _add_two(book)
    RaceRecords(book.records.engine).add(row_of(result_of(**COSTLY)), machine=machine(), study=book.row)
    lines = ending_lines(read_study(storage, name="digits").study, places=HERE)
    (place,) = [place for place, line in enumerate(lines) if line.startswith("races: 1 in")]
    assert lines[place].endswith("times the baseline's throughput, not compared with an informed guess")
    assert lines[place + 1 : place + 3] == (
        "  precision computes with fewer digits; its loss stayed within the noise of full precision",
        "  compile: costs 30.0 s once, repaid after 6,000 steps; a run has 10,000",
    )


def _races(book: StudyBook, *results: tuple[dict[str, Scalar], RaceResult]) -> str:
    for workload, result in results:
        row = replace(row_of(result), workload=workload)
        RaceRecords(book.records.engine).add(row, machine=machine(), study=book.row)
    lines = ending_lines(read_study(book.storage, name="digits").study, places=HERE)
    return next(line for line in lines if line.startswith("races: "))


SMALL: dict[str, Scalar] = {"batch_size": 32}
LARGE: dict[str, Scalar] = {"batch_size": 64}


def test_ending_tells_of_the_race_of_the_best_trial_s_workload(storage: str) -> None:
    """It told the largest gain of all workloads without saying whose, which is the luckiest of them."""
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}], parameters=SMALL)
    luckiest = GAIN.model_copy(update={"ratio": 2.1})
    line = _races(book, (SMALL, result_of(gain=GAIN)), (LARGE, result_of(gain=luckiest)))
    found = "of the best trial's workload (batch_size 32): channels_last true: 1.40 [1.30, 1.50] times the baseline's"
    assert f"races: 2 in 0:00; {found} throughput" in line


def test_race_that_answers_nothing_does_not_hide_the_one_that_did(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}], parameters=SMALL)
    open_one = result_of(setting={}, gain=None, is_cut_short=True)
    assert "channels_last true: 1.40" in _races(book, (SMALL, result_of()), (SMALL, open_one))


def test_ending_names_the_workload_of_a_gain_that_is_not_the_best_trial_s(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}], parameters={"batch_size": 16})
    luckiest = GAIN.model_copy(update={"ratio": 2.1})
    line = _races(book, (SMALL, result_of()), (LARGE, result_of(gain=luckiest)), (SMALL, result_of(gain=None)))
    assert "races: 3 in 0:00; the largest of 2 gains, of batch_size 64: channels_last true: 2.10" in line


def test_ending_names_trials_that_are_without_what_their_workload_s_race_kept(storage: str) -> None:
    """It said that compile was kept, while runs too short to repay it trained without."""
    book = StudyBook(storage)
    curve = [{"val_accuracy": 0.8}]
    book.add(0, epochs=curve, parameters={**SMALL, "compile": "off"})
    book.add(1, epochs=curve, parameters={**SMALL, "compile": "default"})
    book.add(2, epochs=curve, parameters={**SMALL, "compile": "off"})
    book.add(3, epochs=curve, parameters={**LARGE, "compile": "off"})
    _races(book, (SMALL, result_of(**COSTLY)))
    lines = ending_lines(read_study(storage, name="digits").study, places=HERE)
    (line,) = [line for line in lines if "not used" in line]
    assert line.startswith("  compile: not used by trial 2 of this workload")


def _book_beside(book: StudyBook, *, row: RaceRow, best: dict[str, Scalar]) -> StudyBook:
    """A study on the same machine as one that has raced, with a best trial of these parameters."""
    RaceRecords(book.records.engine).add(row, machine=machine(), study=book.row)
    spec = make_spec().model_copy(update={"speed_search": Choice(name="race")})
    later = StudyBook(book.storage, name="later", spec=spec)
    here = EnvironmentRecords(book.records.engine).add(machine(hostname="renamed"))
    later.add(0, epochs=[{"val_accuracy": 0.7}], parameters=SMALL, environment_id=here)
    later.add(1, epochs=[{"val_accuracy": 0.8}], parameters=best, environment_id=here)
    return later


def test_ending_says_which_earlier_race_speed_parameters_were_taken_over_from(storage: str) -> None:
    """They had no origin at all in a study that raced nothing itself."""
    vague = GAIN.model_copy(update={"high": 3.9})
    result = result_of(gain=vague, heats=(BESIDE.model_copy(update={"gain": vague}),))
    row = replace(row_of(result), created_at=86_400.0 * 365, task=make_spec().task)
    later = _book_beside(StudyBook(storage), row=row, best={**SMALL, "channels_last": True})
    lines = ending_lines(read_study(storage, name=later.row.name).study, places=HERE)
    (place,) = [place for place, line in enumerate(lines) if "as raced" in line]
    line = lines[place]
    assert lines[place + 1].startswith("  ? is a gain whose interval spans more than a factor of 2")
    assert line.startswith("speed parameters of trial 1 as raced in study digits on 1971-01-01 ")
    assert ", of batch_size 32: channels_last true: 1.40 [1.30, 3.90] ? times the baseline's throughput" in line


@pytest.mark.parametrize(
    ("best", "changes"),
    [
        ({**SMALL, "channels_last": False}, {}),  # another setting
        ({**SMALL, "channels_last": True}, {"created_at": 1e11}),  # raced after the trial
        ({**SMALL, "channels_last": True}, {"device": "cuda"}),
        ({**SMALL, "channels_last": True}, {"task": "other.py:Other"}),
    ],
)
def test_race_that_the_best_trial_can_not_be_from_is_no_origin(
    storage: str, best: dict[str, Scalar], changes: dict[str, Any]
) -> None:
    row = replace(row_of(result_of()), **{"created_at": 0.0, "task": make_spec().task, **changes})
    later = _book_beside(StudyBook(storage), row=row, best=best)
    assert read_study(storage, name=later.row.name).study.race_taken_over is None


def test_winner_of_another_workload_is_taken_over_with_all_digits(storage: str) -> None:
    row = replace(row_of(result_of(**{**COSTLY, "setting": {"precision": "bf16", "cache": "memory"}})), created_at=0.0)
    row = replace(row, task=make_spec().task)
    later = _book_beside(StudyBook(storage), row=row, best={**LARGE, "precision": "fp32", "cache": "memory"})
    taken = read_study(storage, name=later.row.name).study.race_taken_over
    assert taken is not None
    assert taken.study == "digits"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"is_cut_short": True}, "nothing is surely faster than the baseline; cut short: not everything was tried"),
        ({"heats": (UNPROVEN,)}, "not proven: channels_last true, 1.40 [0.99, 1.50] times as fast on fresh processes"),
        (
            {"noise_floor": 0.25},
            "nothing is surely faster than the baseline, where two processes of one setting differ by",
        ),
        (
            {"ended_by": "lost", "is_cut_short": True},
            "nothing was proven; it ended before everything was tried: lost",
        ),
    ],
)
def test_ending_calls_no_race_conclusive_that_will_be_run_again(
    storage: str, fields: dict[str, object], words: str
) -> None:
    book = StudyBook(storage)
    _add_two(book)
    result = result_of(setting={}, gain=None, **fields)
    assert not result.is_answer
    assert words in _races(book, (SMALL, result))


def test_next_steps_are_commands_that_need_no_option_for_the_usual_places(storage: str) -> None:
    _add_two(StudyBook(storage))
    lines = ending_lines(read_study(storage, name="digits").study, places=HERE)
    commands = [line.split("  ")[1] for line in lines[lines.index("Next:") + 1 :]]
    assert commands == [
        "autotune study show digits",
        "autotune study best digits",
        "autotune study report digits",
        "autotune study resume digits",
        "autotune dashboard",
        "autotune mlflow",
    ]


@pytest.mark.parametrize(("name", "times"), [("digits", 1), ("digits.confirm", 0)])
def test_next_step_of_a_winner_that_is_not_confirmed_is_to_do_that(storage: str, name: str, times: int) -> None:
    book = StudyBook(storage, name=name)
    _add_two(book)
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    text = "\n".join(ending_lines(read_study(storage, name=name).study, places=HERE))
    assert text.count(f"autotune study confirm {name} ") == times


def test_baseline_that_never_came_to_its_target_says_so_and_can_be_confirmed_against(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.9}], outcome=Outcome.PRUNED, reason="val_accuracy 0.9 never reached 0.97")
    book.add(1, epochs=[{"val_accuracy": 0.98}])
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=HERE))
    assert "0.98 (the baseline is pruned: val_accuracy 0.9 never reached 0.97)" in text
    assert "autotune study confirm digits " in text


def test_next_steps_name_places_that_are_not_the_usual_ones(storage: str) -> None:
    _add_two(StudyBook(storage))
    places = Places(storage=storage, tracking_uri="http://mlflow:5000")
    text = "\n".join(ending_lines(read_study(storage, name="digits").study, places=places))
    assert f"autotune study show digits --storage {storage} --tracking-uri http://mlflow:5000" in text
    assert f"autotune dashboard --storage {storage}" in text


def test_next_steps_trust_the_environment_of_the_user(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTUNE_STORAGE", storage)
    assert storage_option(Places(storage=storage, tracking_uri=DEFAULT_TRACKING_URI)) == ""


PASSWORDS = [
    ("postgresql://ann:secret@host/db", "postgresql://ann:***@host/db"),
    ("postgresql://ann@host/db?password=secret", "postgresql://ann@host/db?password=%2A%2A%2A"),
]


@pytest.mark.parametrize(("storage", "shown"), PASSWORDS)
def test_next_steps_show_no_password(storage: str, shown: str) -> None:
    places = Places(storage=storage, tracking_uri=DEFAULT_TRACKING_URI)
    assert storage_option(places) == f" --storage '{shown}'"


def test_complete_study_goes_on_with_twice_the_budget_that_it_used_up(storage: str) -> None:
    book = StudyBook(storage)
    for number in range(4):
        book.add(number, epochs=[{"val_accuracy": 0.8}])
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    study = read_study(storage, name="digits").study
    assert "autotune study resume digits --trials 8 " in "\n".join(ending_lines(study, places=HERE))
    late = replace(study, elapsed_seconds=61.0)
    assert "autotune study resume digits --trials 8 --seconds 120 " in "\n".join(ending_lines(late, places=HERE))


def test_study_that_left_time_for_its_confirmation_goes_on_with_more_of_it(storage: str) -> None:
    """Its command named no larger budget, and came back at once."""
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    early = replace(read_study(storage, name="digits").study, elapsed_seconds=45.0)
    assert "autotune study resume digits --seconds 120 " in "\n".join(ending_lines(early, places=HERE))


def test_complete_study_goes_on_past_what_it_has_where_its_budget_was_lowered(storage: str) -> None:
    book = StudyBook(storage)
    for number in range(5):
        book.add(number, epochs=[{"val_accuracy": 0.8}])
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    study = read_study(storage, name="digits").study
    long = replace(study, elapsed_seconds=200.5, budget=study.budget.model_copy(update={"trials": 2}))
    assert "--trials 10 --seconds 402 " in "\n".join(ending_lines(long, places=HERE))


def test_grid_that_is_tried_out_goes_on_in_another_study(storage: str) -> None:
    spec = make_spec().model_copy(update={"sampler": Choice(name="grid")})
    width = SpaceParameter(name="width", group="learning", type="int", low=8, high=9)
    space = SearchSpace((width,), fixed={"lr": 0.1}, left_out=(), baseline={"width": 8})
    book = StudyBook(storage, spec=spec)
    resolved = TypeAdapter(SearchSpace).dump_json(space).decode()
    book.records.update_spec(book.row, spec_text="", spec_json=spec.model_dump_json(), resolved_json=resolved)
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    book.add(0, epochs=[{"val_accuracy": 0.8}], parameters={"width": 8, "lr": 0.1, "fused": True})
    assert not read_study(storage, name="digits").study.is_exhausted
    book.add(1, epochs=[{"val_accuracy": 0.8}], parameters={"width": 9, "lr": 0.1, "fused": True})
    study = read_study(storage, name="digits").study
    assert study.is_exhausted
    text = "\n".join(ending_lines(study, places=HERE))
    assert "; every combination of its grid is tried" in text
    assert "autotune study start SPEC.yaml --name digits-2 --warm-start digits" in text
    assert "study resume" not in text


def test_study_without_trials_ends_with_a_plain_count(storage: str) -> None:
    StudyBook(storage)
    assert ending_lines(read_study(storage, name="digits").study, places=HERE)[0] == "digits: 0 trials in 0:00"
