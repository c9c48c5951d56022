from pathlib import Path

from autotune.trial.oom_killer import OomWatch


def test_kill_since_the_last_look_is_told_once(tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    watch = OomWatch([counter])
    assert not watch.has_killed()
    counter.write_text("low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
    assert watch.has_killed()
    assert not watch.has_killed()


def test_group_of_this_process_goes_before_the_whole_system(tmp_path: Path) -> None:
    own, system = tmp_path / "memory.events", tmp_path / "vmstat"
    own.write_text("oom_kill 0\n")
    system.write_text("oom_kill 5\n")
    watch = OomWatch([own, system])
    system.write_text("oom_kill 9\n")
    assert not watch.has_killed()


def test_system_that_does_not_tell_blames_nobody(tmp_path: Path) -> None:
    assert not OomWatch([tmp_path / "missing"]).has_killed()


def test_this_system_is_asked_without_an_error() -> None:
    assert not OomWatch().has_killed()
