import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.trial.log import LogDrain, TrialLog, last_words, open_pipe

MARK = b"\n[... the log outgrew its limit; its middle is left out here ...]\n"


def write_all(path: Path, chunks: list[bytes], *, max_bytes: int) -> bytes:
    log = TrialLog.open(path, max_bytes=max_bytes)
    for chunk in chunks:
        log.write(chunk)
        assert path.stat().st_size <= max_bytes
    log.close()
    return path.read_bytes()


def test_short_log_is_kept_whole(tmp_path: Path) -> None:
    assert write_all(tmp_path / "log", [b"one\n", b"two\n"], max_bytes=1024) == b"one\ntwo\n"


def test_log_at_its_limit_is_kept_whole(tmp_path: Path) -> None:
    assert write_all(tmp_path / "log", [b"x" * 1024], max_bytes=1024) == b"x" * 1024


def test_long_log_keeps_first_and_last_lines(tmp_path: Path) -> None:
    lines = [f"line {number}\n".encode() for number in range(10_000)]
    kept = write_all(tmp_path / "log", lines, max_bytes=1024)
    head, tail = kept.split(MARK)
    assert b"".join(lines).startswith(head)
    assert tail.splitlines(keepends=True) == lines[-len(tail.splitlines()) :]
    assert len(head) >= 256
    assert len(tail) >= 200


def test_line_longer_than_the_log_keeps_both_ends(tmp_path: Path) -> None:
    kept = write_all(tmp_path / "log", [b"first" + b"x" * 100_000 + b"last"], max_bytes=1024)
    assert kept.startswith(b"firstx")
    assert kept.endswith(b"xlast")


def test_last_words_are_the_last_lines() -> None:
    assert last_words("one\ntwo\nthree\n", num_lines=2) == ["two", "three"]
    assert last_words("one\n", num_lines=2) == ["one"]
    assert last_words("one\n", num_lines=0) == []


def test_last_words_of_a_crash_say_where_it_was() -> None:
    dump = (
        "epoch 1\nFatal Python error: Segmentation fault\n\n"
        'Thread 0x01 (most recent call first):\n  File "threading.py", line 982 in run\n\n'
        'Current thread 0x02 (most recent call first):\n  File "task.py", line 8 in model\n'
        "\nExtension modules: numpy (total: 1)\n"
    )
    assert last_words(dump, num_lines=3) == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x02 (most recent call first):",
        '  File "task.py", line 8 in model',
    ]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), max_size=12), max_bytes=st.integers(1024, 4096))
def test_log_stays_within_its_limit_and_ends_as_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], max_bytes: int
) -> None:
    text = b"".join(b"%d\n" % number for number in range(3000 * 12))
    chunks = []
    for size in sizes:
        chunks.append(text[:size])
        text = text[size:]
    kept = write_all(tmp_path_factory.mktemp("log") / "log", chunks, max_bytes=max_bytes)
    written = b"".join(chunks)
    assert written.endswith(kept[-100:])
    assert written.startswith(kept[:100])


def test_reopened_log_goes_on(tmp_path: Path) -> None:
    write_all(tmp_path / "log", [b"before\n"], max_bytes=1024)
    assert write_all(tmp_path / "log", [b"after\n"], max_bytes=1024) == b"before\nafter\n"


def test_reopened_log_obeys_a_smaller_limit(tmp_path: Path) -> None:
    write_all(tmp_path / "log", [b"before\n" * 400], max_bytes=4096)
    assert write_all(tmp_path / "log", [b"after\n"], max_bytes=1024).endswith(b"before\nafter\n")


def test_drain_takes_what_was_written_before_the_end(tmp_path: Path) -> None:
    reading, writing = open_pipe()
    drain = LogDrain(reading, log=TrialLog.open(tmp_path / "log", max_bytes=1024))
    drain.start()
    os.write(writing, b"one\ntwo\nthree\n")
    os.close(writing)
    assert drain.finish(num_lines=2) == "two\nthree"
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"


def test_drain_that_came_to_nothing_in_its_time_takes_what_is_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a log, with why a trial crashed, was lost on a machine that stood still for half a second."""
    reading, writing = open_pipe()
    os.write(writing, b"one\ntwo\nthree\n")
    os.close(writing)
    drain = LogDrain(reading, log=TrialLog.open(tmp_path / "log", max_bytes=1024))
    carry = drain.run

    def stand_still_and_carry() -> None:
        time.sleep(0.3)
        carry()

    monkeypatch.setattr(drain, "run", stand_still_and_carry)
    drain.start()
    assert drain.finish(num_lines=2, timeout=0.01) == "two\nthree"


def test_drain_is_finished_while_someone_still_holds_the_pipe(tmp_path: Path) -> None:
    """A process that left its trial's group would keep the coordinator waiting for ever."""
    reading, writing = open_pipe()
    drain = LogDrain(reading, log=TrialLog.open(tmp_path / "log", max_bytes=1024))
    drain.start()
    drain.finish(timeout=0.01)
    os.write(writing, b"too late\n")
    os.close(writing)
    drain.join()
    assert (tmp_path / "log").read_bytes() == b""
