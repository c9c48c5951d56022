import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.events import Outcome, Started
from autotune.hardware import find_allocator, physical_cores, usable_cores
from autotune.trial.launcher import Launcher
from autotune.trial.relaunch import wanted_environment
from tests.trial.listening import BEHAVIOURS, finish_of, hear_out, order

LIBM = Path("/lib/x86_64-linux-gnu/libm.so.6")

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not LIBM.exists(), reason="needs a library to preload")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library by the name of an allocator, which does no harm."""
    folder = tmp_path_factory.mktemp("libraries")
    shutil.copy(LIBM, folder / "libjemalloc.so.2")
    return folder


@pytest.fixture(scope="module")
def launcher(folder: Path) -> Iterator[Launcher]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(folder))
        with Launcher.start(BEHAVIOURS) as launcher:
            yield launcher


def started(launcher: Launcher, folder: Path, **parameters: str) -> Started:
    trial_order = order(folder, behaviour="report_thrice")
    trial_order = trial_order.model_copy(update={"parameters": {**trial_order.parameters, **parameters}})
    events = hear_out(launcher, launcher.launch(trial_order))
    assert finish_of(events).outcome is Outcome.COMPLETE
    assert finish_of(events).unread_parameters == ()
    (found,) = (event for event in events if isinstance(event, Started))
    return found


def test_glibc_keeps_what_is_freed_where_it_is_told_to(launcher: Launcher, tmp_path: Path) -> None:
    assert started(launcher, tmp_path, allocator="retain").in_force["allocator"] == "retain"


def test_a_trial_has_the_default_allocator_without_being_told(launcher: Launcher, tmp_path: Path) -> None:
    assert started(launcher, tmp_path).in_force["allocator"] == "default"


@pytest.mark.slow
def test_a_trial_starts_anew_with_the_allocator_that_it_is_to_have(launcher: Launcher, tmp_path: Path) -> None:
    assert started(launcher, tmp_path, allocator="jemalloc").in_force["allocator"] == "jemalloc"


def test_an_allocator_that_is_loaded_already_is_no_reason_to_start_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    wanted = wanted_environment({"allocator": "jemalloc"})
    assert wanted == {"LD_PRELOAD": str(folder / "libjemalloc.so.2")}
    monkeypatch.setenv("LD_PRELOAD", wanted["LD_PRELOAD"])
    assert wanted_environment({"allocator": "jemalloc"}) == {}


@pytest.mark.parametrize("name", ["default", "retain", "no-such"])
def test_allocators_without_a_library_need_none(name: str) -> None:
    assert find_allocator(name) is None


def test_settings_of_cudas_allocator_stand_beside_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64")
    wanted = wanted_environment({"cuda_allocator": "expandable_segments"})
    assert wanted == {"PYTORCH_ALLOC_CONF": "max_split_size_mb:64,expandable_segments:True"}
    assert wanted_environment({"cuda_allocator": "native"}) == {}


def test_of_each_physical_core_one_logical_core_is_taken() -> None:
    cores = usable_cores()
    taken = physical_cores(cores)
    assert set(taken) <= set(cores)
    assert len({_siblings(core) for core in taken}) == len(taken) == len({_siblings(core) for core in cores})


def _siblings(core: int) -> str:
    return Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()


def test_a_trial_on_physical_cores_has_no_two_that_are_one(launcher: Launcher, tmp_path: Path) -> None:
    in_force = started(launcher, tmp_path, cpu_affinity="physical").in_force
    has_siblings = len(physical_cores(range(os.cpu_count() or 1))) < (os.cpu_count() or 1)
    assert in_force["cpu_affinity"] == ("physical" if has_siblings else "all")
    assert in_force["torch_threads"] == len(physical_cores(usable_cores()))


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_cudas_allocator_keeps_what_the_user_set_of_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    monkeypatch.setenv(name, "max_split_size_mb:256")
    wanted = wanted_environment({"cuda_allocator": "expandable_segments"})
    assert wanted == {"PYTORCH_ALLOC_CONF": "max_split_size_mb:256,expandable_segments:True"}
