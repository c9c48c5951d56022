from dataclasses import replace

from autotune.report.page.blocks import Code, Intervals, Table, Words
from autotune.report.page.composing import compose
from autotune.report.page.html import as_html
from autotune.report.page.markdown import as_markdown
from autotune.report.page.raced import adopted_section, raced_section
from autotune.report.page.subject import Subject
from autotune.report.summaries.record import read_record
from autotune.spec.model import Choice
from tests.report.page_study import PLACES
from tests.report.raced import BESIDE, COSTLY, GAIN, IN_TURNS, MEASURED, UNPROVEN, result_of, row_of
from tests.report.study_book import StudyBook, make_spec


def test_page_says_which_heats_were_in_turns_and_what_that_means(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    result = result_of(heats=(IN_TURNS, BESIDE), noise_floor=0.01, noise_floor_in_turns=0.02)
    record = replace(read_record(storage, name=book.row.name), races=(row_of(result, device="cuda"),))
    section = raced_section(Subject(record=record, places=PLACES))
    assert section is not None
    (intervals,) = [block for block in section.blocks if isinstance(block, Intervals)]
    assert [row.label for row in intervals.rows] == ["channels_last true, in turns", "channels_last true"]
    text = " ".join(block.text for block in section.blocks if isinstance(block, Words))
    assert "two of one setting differed by up to 2.0% so" in text


def test_ratio_that_tells_nothing_stands_in_words_and_stretches_no_scale(storage: str) -> None:
    """An interval from 0.00 to 14950.52 left all others in one point of their drawings."""
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    noise = IN_TURNS.model_copy(update={"gain": GAIN.model_copy(update={"low": 4.5e-05, "high": 14950.52})})
    record = replace(read_record(storage, name=book.row.name), races=(row_of(result_of(heats=(noise, BESIDE))),))
    section = raced_section(Subject(record=record, places=PLACES))
    assert section is not None
    (intervals,) = [block for block in section.blocks if isinstance(block, Intervals)]
    assert [(row.text, row.high) for row in intervals.rows] == [
        ("too noisy to tell apart", None),
        ("1.40 [1.30, 1.50]", 1.5),
    ]
    page = replace(compose(record, places=PLACES), sections=(section,))
    assert "too noisy to tell apart" in as_markdown(page)
    assert '<td class="number">too noisy to tell apart</td>' in as_html(page)


def test_page_tells_what_each_setting_held_and_what_was_around(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    record = replace(read_record(storage, name=book.row.name), races=(row_of(result_of(heats=(MEASURED, IN_TURNS))),))
    section = raced_section(Subject(record=record, places=PLACES))
    assert section is not None
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    around = "load 0.5 to 1.3, clock 2,450 MHz, temperature 61 to 64 °C, recompilations 2"
    assert table.rows == (("channels_last true", "2,346", "768 MiB", "1.25 s", around),), "the other was not measured"


def test_page_and_note_name_fewer_digits_what_is_paid_once_and_the_lines_to_paste(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    record = replace(read_record(storage, name=book.row.name), races=(row_of(result_of(**COSTLY)),))
    subject = Subject(record=record, places=PLACES)
    section, note = raced_section(subject), adopted_section(subject)
    assert section is not None
    assert note is not None
    assert note.blocks == section.blocks[: len(note.blocks)]
    text = " ".join(block.text for block in note.blocks if isinstance(block, Words))
    assert "precision computes with fewer digits; its loss stayed within the noise of full precision. " in text
    assert "compile: costs 30.0 s once, repaid after 6,000 steps; a run has 10,000." in text
    (code,) = [block.lines for block in note.blocks if isinstance(block, Code)]
    assert code[0].startswith('model = torch.compile(model, mode="default")')
    notes = " ".join(block.text for block in section.blocks if isinstance(block, Words))
    assert "A race of a study is not compared with what an informed user would set" in notes
    whole = replace(compose(record, places=PLACES), sections=(note,))
    assert "<details>" in as_markdown(whole)
    assert f"## {note.title}" in as_markdown(whole, is_folded=False)


def test_page_names_trials_without_what_is_paid_once(storage: str) -> None:
    book = StudyBook(storage)
    for number in range(8):
        book.add(number, epochs=[{"val_accuracy": 0.8}], parameters={"batch_size": 32})
    record = replace(read_record(storage, name=book.row.name), races=(row_of(result_of(**COSTLY)),))
    note = adopted_section(Subject(record=record, places=PLACES))
    assert note is not None
    text = " ".join(block.text for block in note.blocks if isinstance(block, Words))
    assert "compile: not used by trials 1, 2, 3, 4, 5 and 2 more of this workload" in text


def test_page_of_a_study_without_races_has_neither(storage: str) -> None:
    book = StudyBook(storage)
    subject = Subject(record=read_record(storage, name=book.row.name), places=PLACES)
    assert raced_section(subject) is None
    assert adopted_section(subject) is None


def test_page_calls_no_race_conclusive_that_was_not(storage: str) -> None:
    """It read that nothing was surely faster, where a winner could not be proven or the time was up."""
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    result = result_of(setting={}, gain=None, heats=(UNPROVEN,), is_cut_short=True)
    record = replace(read_record(storage, name=book.row.name), races=(row_of(result),))
    section = raced_section(Subject(record=record, places=PLACES))
    assert section is not None
    text = " ".join(block.text for block in section.blocks if isinstance(block, Words))
    assert "not proven: channels_last true, 1.40 [0.99, 1.50] times as fast on fresh processes; cut short: not" in text
    assert "nothing is surely faster" not in text


def test_page_of_a_study_that_raced_nothing_names_the_race_that_it_took_over(storage: str) -> None:
    book = StudyBook(storage, spec=make_spec().model_copy(update={"speed_search": Choice(name="race")}))
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    book.add(1, epochs=[{"val_accuracy": 0.9}], parameters={"batch_size": 32, "channels_last": True})
    vague = GAIN.model_copy(update={"high": 3.9})
    heats = (BESIDE.model_copy(update={"gain": vague}),)
    earlier = replace(row_of(result_of(gain=vague, heats=heats)), study="before", created_at=86_400.0 * 365)
    record = replace(read_record(storage, name=book.row.name), other_races=(earlier,))
    subject = Subject(record=record, places=PLACES)
    section = raced_section(subject)
    assert section is not None
    assert section == adopted_section(subject)
    text = " ".join(block.text for block in section.blocks if isinstance(block, Words))
    assert "Speed parameters of trial 1 as raced in study before on 1971-01-01 " in text
    assert "? is a gain whose interval spans more than a factor of 2" in text
    assert any(isinstance(block, Code) for block in section.blocks)
