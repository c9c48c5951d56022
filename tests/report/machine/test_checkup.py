import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from autotune.errors import RunError
from autotune.hardware import Accelerator, Machine, cpu_quota
from autotune.report.machine import checkup
from autotune.report.machine.checkup import Finding, needs_mending
from tests.machines import machine
from tests.report.study_book import StudyBook

GIB = 2**30


def _with_torch(**facts: object) -> Callable[[], Machine]:
    usual = machine()
    return lambda: usual.model_copy(update={"torch": usual.torch.model_copy(update=facts)})


def _state(findings: tuple[Finding, ...], name: str) -> str:
    return next(finding.state for finding in findings if finding.name == name)


@pytest.mark.parametrize(
    ("facts", "num_gpus", "name", "state"),
    [
        ({"version": "2.10.1"}, 0, "torch", "ok"),
        ({"version": "2.9.0+cpu"}, 0, "torch", "mend"),
        ({"cuda_version": None, "accelerators": ()}, 0, "CUDA", "ok"),
        ({"cuda_version": None, "accelerators": ()}, 1, "CUDA", "mend"),
        ({"cuda_version": "13.0", "accelerators": ()}, 1, "CUDA", "mend"),
        (
            {"accelerators": (Accelerator(index=0, name="H100", memory_bytes=GIB, capability=(9, 0)),)},
            1,
            "CUDA",
            "ok",
        ),
        ({"has_compiler": False}, 0, "compiler", "note"),
    ],
)
def test_torch_is_held_against_what_the_driver_has(
    facts: dict[str, object], num_gpus: int, name: str, state: str
) -> None:
    assert _state(checkup.check_torch(_with_torch(**facts), num_gpus=num_gpus), name) == state


def test_torch_that_does_not_import_is_to_be_mended() -> None:
    def ask() -> Machine:
        raise RunError("torch: must import, got: libcudart.so.13: cannot open")

    (finding,) = checkup.check_torch(ask, num_gpus=0)
    assert finding.state == "mend"
    assert "libcudart" in finding.found


@pytest.mark.parametrize(
    ("quota", "load", "states"),
    [(None, 0.1, ["ok", "ok"]), (1.5, 0.1, ["note", "ok"]), (8.0, 7.0, ["ok", "note"]), (None, None, ["ok"])],
)
def test_cores_tell_a_container_s_share_and_other_work(
    quota: float | None, load: float | None, states: list[str]
) -> None:
    findings = checkup.check_cores(num_usable=4, num_all=8, quota=quota, load=load)
    assert [finding.state for finding in findings] == states
    assert findings[0].found.startswith("4 of 8")


@pytest.mark.parametrize(("text", "quota"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None)])
def test_quota_of_a_container_is_read(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path / "cpu.max") == quota


@pytest.mark.parametrize(("free", "state"), [(None, "note"), (64 * 2**20, "mend"), (GIB // 2, "note"), (GIB, "ok")])
def test_shared_memory_of_a_container_is_too_small(free: int | None, state: str) -> None:
    assert checkup.check_shared_memory(free).state == state


@pytest.mark.parametrize(("free", "state"), [(GIB // 4, "mend"), (GIB, "note"), (9 * GIB, "ok")])
def test_disk_has_room_for_checkpoints(tmp_path: Path, free: int, state: str) -> None:
    assert checkup.check_disk(tmp_path, free=free).state == state


@pytest.mark.parametrize(
    ("server", "newest", "state"),
    [(None, 900.0, "ok"), (1002.0, 0.0, "ok"), (1100.0, 0.0, "note"), (None, 2e3, "mend")],
)
def test_clock_is_held_against_what_is_recorded(server: float | None, newest: float, state: str) -> None:
    assert checkup.check_clock(now=1000.0, server=server, newest=newest).state == state


def test_database_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    (finding,) = checkup.check_storage(f"sqlite:///{tmp_path / 'autotune.db'}")
    assert finding.state == "ok"
    assert "`autotune study start` makes it" in finding.found
    assert list(tmp_path.iterdir()) == []


def test_database_is_counted_and_its_clock_read(tmp_path: Path) -> None:
    book = StudyBook(f"sqlite:///{tmp_path / 'autotune.db'}")
    findings = checkup.check_storage(book.storage)
    assert [(finding.name, finding.state) for finding in findings] == [("database", "ok"), ("clock", "ok")]
    assert "1 study" in findings[0].found


@pytest.mark.parametrize("storage", ["mysql://x/y", "sqlite:////nowhere/at/all/autotune.db"])
def test_database_that_can_t_be_used_is_to_be_mended(storage: str) -> None:
    assert needs_mending(checkup.check_storage(storage))


@pytest.mark.postgres
def test_clock_of_a_database_server_is_asked(postgres_url: str) -> None:
    StudyBook(postgres_url).records.engine.dispose()
    assert _state(checkup.check_storage(postgres_url), "clock") == "ok"


def test_mlflow_that_does_not_answer_is_to_be_mended(port: int) -> None:
    assert checkup.check_tracking(f"http://127.0.0.1:{port}").state == "mend"


def test_mlflow_s_store_that_is_not_made_yet_is_no_fault(tmp_path: Path) -> None:
    assert checkup.check_tracking(f"sqlite:///{tmp_path / 'mlflow.db'}").state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_whole_setup_is_looked_at(tmp_path: Path) -> None:
    found = checkup.check_setup(f"sqlite:///{tmp_path / 'a.db'}", tracking_uri=f"sqlite:///{tmp_path / 'm.db'}")
    names = [finding.name for finding in found]
    assert {"torch", "CUDA", "cores", "memory", "shared memory", "disk", "database", "MLflow"} <= set(names)
    assert all(finding.remedy for finding in found if finding.state != "ok")
    assert [field.name for field in dataclasses.fields(Finding)] == ["name", "state", "found", "remedy"]
