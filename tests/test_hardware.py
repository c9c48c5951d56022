import pytest

from autotune.hardware import Machine
from autotune.report.machine.description import machine_lines
from tests.machines import machine


@pytest.mark.parametrize(
    "change",
    [{"cpu": "another CPU"}, {"num_cores": 2}, {"cpu_quota": 1.5}, {"memory_bytes": 16 * 2**30}],
    ids=lambda change: next(iter(change)),
)
def test_hardware_is_another_when_what_a_race_depends_on_is(change: dict[str, object]) -> None:
    assert machine().model_copy(update=change).hardware_fingerprint != machine().hardware_fingerprint


def test_hardware_is_another_beside_a_gpu() -> None:
    assert machine(num_gpus=1).hardware_fingerprint != machine().hardware_fingerprint


@pytest.mark.parametrize("facts", [{"version": "2.12.0"}, {"cuda_version": "13.0"}, {"cudnn_version": 92_000}])
def test_software_is_another_with_another_version_and_the_hardware_is_not(facts: dict[str, object]) -> None:
    other = machine().model_copy(update={"torch": machine().torch.model_copy(update=facts)})
    assert other.software_fingerprint != machine().software_fingerprint
    assert other.hardware_fingerprint == machine().hardware_fingerprint


def test_machine_of_an_older_row_has_all_of_its_cores() -> None:
    older = machine().model_dump(exclude={"cpu_quota"})
    assert Machine.model_validate(older).hardware_fingerprint == machine().hardware_fingerprint


def test_machine_tells_a_containers_share() -> None:
    text = "\n".join(machine_lines(machine().model_copy(update={"cpu_quota": 1.5})))
    assert "4 cores (a container's share of them: 1.5)" in text
    assert "share" not in "\n".join(machine_lines(machine()))


def test_device_of_a_study_is_all_that_its_fingerprint_knows_of_the_accelerators() -> None:
    """A winner of one GPU was used on another one of another kind."""
    both = machine(num_gpus=2)
    small, large = both.torch.accelerators
    gpus = (small, large.model_copy(update={"name": "another GPU"}))
    host = both.model_copy(update={"torch": both.torch.model_copy(update={"accelerators": gpus})})
    seen = {device: host.seen_from(device).hardware_fingerprint for device in ("cpu", "cuda:0", "cuda:1", "cuda")}
    assert len({*seen.values()}) == len(seen)
    assert seen["cuda"] == host.hardware_fingerprint
    assert seen["cpu"] == machine().hardware_fingerprint
    assert both.seen_from("cuda:1").hardware_fingerprint == machine(num_gpus=1).hardware_fingerprint
