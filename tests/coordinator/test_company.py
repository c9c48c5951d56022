import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autotune.coordinator.company import Company, joined
from tests.machines import torch_facts
from tests.processes import running

OTHER_PROGRAM = """
import sys, time
from pathlib import Path
from autotune.coordinator.company import Company
company = Company(["cpu"], who="study other", folder=Path(sys.argv[1])).join()
print("here", flush=True)
time.sleep(60)
"""


@contextmanager
def present(folder: Path, *devices: str, who: str = "study a") -> Iterator[Company]:
    company = Company(devices, who=who, folder=folder).join()
    try:
        yield company
    finally:
        company.leave()


@pytest.fixture
def other_program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with running(OTHER_PROGRAM, str(tmp_path), says="here") as process:
        yield process


def test_another_process_is_seen_until_it_is_killed(tmp_path: Path, other_program: subprocess.Popen[str]) -> None:
    with present(tmp_path, "cpu") as company:
        assert company.others() == (f"study other (pid {other_program.pid})",)
        other_program.send_signal(signal.SIGKILL)
        other_program.wait()
        assert company.others() == ()
        assert len(list((tmp_path / "cpu" / "programs").iterdir())) == 1


def test_who_has_left_is_not_seen(tmp_path: Path) -> None:
    with present(tmp_path, "cpu") as company:
        with present(tmp_path, "cpu", who="study b"):
            assert len(company.others()) == 1
        assert company.others() == ()
        assert company.words() is None


def test_programs_on_other_devices_are_no_company(tmp_path: Path) -> None:
    with present(tmp_path, "cpu") as one, present(tmp_path, "GPU-1") as two, present(tmp_path, "GPU-2", "GPU-1"):
        assert one.others() == ()
        assert len(two.others()) == 1


def test_name_may_hold_what_a_path_may_not(tmp_path: Path) -> None:
    who = f"study a/b.c {'x' * 300}"
    with present(tmp_path, "cpu") as company, present(tmp_path, "cpu", who=who):
        assert company.others()[0].startswith("study a_b.c x")


def test_race_is_run_alone(tmp_path: Path) -> None:
    with present(tmp_path, "cpu") as company:
        with company.race_right() as has_right:
            assert has_right
        with present(tmp_path, "cpu"), company.race_right() as has_right:
            assert not has_right
        with company.race_right() as has_right:
            assert has_right


def test_one_races_at_a_time_of_two_that_came_together(tmp_path: Path) -> None:
    with present(tmp_path, "cpu") as one, one.race_right() as has_right:
        assert has_right
        with present(tmp_path, "cpu") as two, two.race_right() as has_right_too:
            assert not has_right_too


def test_who_begins_waits_for_the_end_of_a_race(tmp_path: Path) -> None:
    told: list[str] = []
    is_waiting, is_over = threading.Event(), threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        is_waiting.set()

    def begin() -> None:
        with present(tmp_path, "cpu", who="study b") as late:
            late.wait_for_race(tell=tell, should_give_up=lambda: False)
            is_over.set()

    with present(tmp_path, "cpu", who="study a") as company:
        with company.race_right():
            beginner = threading.Thread(target=begin)
            beginner.start()
            assert is_waiting.wait(10)
            assert not is_over.is_set()
        assert is_over.wait(10)
        beginner.join()
    (line,) = told
    assert "a race, which needs the device to itself: study a (pid" in line


def test_ctrl_c_ends_the_wait_for_a_race(tmp_path: Path) -> None:
    told: list[str] = []
    with present(tmp_path, "cpu") as company, company.race_right(), present(tmp_path, "cpu") as late:
        late.wait_for_race(tell=told.append, should_give_up=lambda: bool(told))
        with late.race_right() as has_right:
            assert not has_right  # the race goes on
    assert len(told) == 1


def test_gpu_is_the_same_device_whatever_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    both = torch_facts(num_gpus=2).model_copy(update={"accelerator_ids": ("GPU-1", "GPU-2")})
    second = torch_facts(num_gpus=1).model_copy(update={"accelerator_ids": ("GPU-2",)})
    told: list[str] = []
    with (
        joined("cuda:1", facts=both, who="study a", meaning="", tell=told.append),
        joined("cuda:0", facts=both, who="study b", meaning="", tell=told.append),
        joined("auto", facts=second, who="study c", meaning="so it is shared", tell=told.append) as company,
    ):
        assert [other.partition(" (")[0] for other in company.others()] == ["study a"]
    (line,) = told
    assert line.endswith("may train on this device, too: so it is shared")


def test_device_without_an_id_goes_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    facts = torch_facts(num_gpus=1)
    with (
        joined("cuda:0", facts=facts, who="study a", meaning="", tell=lambda _: None) as one,
        joined("cuda", facts=facts, who="study b", meaning="", tell=lambda _: None),
    ):
        assert len(one.others()) == 1


def test_folder_that_takes_no_file_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "autotune").write_text("a file in the way")
    told: list[str] = []
    with joined("cpu", facts=torch_facts(), who="study a", meaning="", tell=told.append) as company:
        with company.race_right() as has_right:
            assert has_right
        assert company.others() == ()
    assert told[0].startswith("other programs that train on this device are not seen: ")


def test_devices_are_remembered_in_the_folder_for_temporary_files_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with joined("cpu", facts=torch_facts(), who="study a", meaning="", tell=lambda _: None):
        assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["autotune"]
