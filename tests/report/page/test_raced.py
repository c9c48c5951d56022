from dataclasses import replace

from autotune.recording.races import RaceRow
from autotune.report.page.blocks import Intervals, Words
from autotune.report.page.raced import raced_section
from autotune.report.page.subject import Subject
from autotune.report.summaries.record import read_record
from tests.report.page_study import PLACES
from tests.report.raced import BESIDE, IN_TURNS, result_of
from tests.report.study_book import StudyBook


def test_page_says_which_heats_were_in_turns_and_what_that_means(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    result = result_of(heats=(IN_TURNS, BESIDE), noise_floor=0.01, noise_floor_in_turns=0.02)
    race = RaceRow(
        task="t.py:T",
        device="cuda",
        num_cores=2,
        workload={"batch_size": 32},
        workload_digest="",
        setting=result.setting,
        result_json=result.model_dump_json(),
        baseline_samples_per_second=70.0,
        samples_per_second=100.0,
        peak_memory_bytes=2**30,
        seconds=300.0,
    )
    record = replace(read_record(storage, name=book.row.name), races=(race,))
    section = raced_section(Subject(record=record, places=PLACES))
    assert section is not None
    (intervals,) = [block for block in section.blocks if isinstance(block, Intervals)]
    assert [row.label for row in intervals.rows] == ["channels_last true, in turns", "channels_last true"]
    text = " ".join(block.text for block in section.blocks if isinstance(block, Words))
    assert "two of one setting differed by up to 2.0% so" in text
