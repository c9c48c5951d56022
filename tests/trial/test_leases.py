import pytest

from autotune.errors import DeviceError
from autotune.hardware import TorchFacts, usable_cores
from autotune.trial.leases import DevicePool, Lease, list_devices, make_pool, resolve_device
from tests.machines import torch_facts


def facts(*, num_gpus: int, cuda_version: str | None = "12.8") -> TorchFacts:
    return torch_facts(num_gpus=num_gpus, cuda_version=cuda_version)


def leases(pool: DevicePool) -> list[Lease]:
    taken = []
    while (lease := pool.acquire()) is not None:
        taken.append(lease)
    return taken


@pytest.fixture(autouse=True)
def _all_gpus_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_one_job_has_every_core() -> None:
    assert leases(DevicePool(["cpu"], cores=[0, 1, 5], jobs=1)) == [Lease("cpu", visible_devices=None, cores=(0, 1, 5))]


def test_jobs_share_cores_evenly_and_leave_the_rest() -> None:
    pool = DevicePool(["cpu"], cores=range(8), jobs=3)
    assert [lease.cores for lease in leases(pool)] == [(0, 1), (2, 3), (4, 5)]
    assert pool.num_cores == 2


def test_more_jobs_than_cores_share_them() -> None:
    assert [lease.cores for lease in leases(DevicePool(["cpu"], cores=[3, 4], jobs=3))] == [(3,), (4,), (3,)]


def test_pool_without_affinity_leases_no_cores() -> None:
    assert leases(DevicePool(["cpu"], cores=[], jobs=2)) == [Lease("cpu", visible_devices=None, cores=())] * 2


def test_jobs_take_gpus_in_turn_and_see_one_each() -> None:
    pool = DevicePool(["cuda:0", "cuda:1"], cores=[], jobs=3)
    assert [(lease.device, lease.visible_devices) for lease in leases(pool)] == [
        ("cuda:0", "0"),
        ("cuda:0", "1"),
        ("cuda:0", "0"),
    ]


def test_gpus_that_were_given_by_name_are_passed_on_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-abc, GPU-def")
    assert [lease.visible_devices for lease in leases(DevicePool(["cuda:1"], cores=[], jobs=1))] == ["GPU-def"]


def test_released_lease_is_leased_again() -> None:
    pool = DevicePool(["cpu"], cores=[0, 1], jobs=2)
    first, _ = leases(pool)
    pool.release(first)
    assert leases(pool) == [first]


@pytest.mark.parametrize(
    ("asked", "num_gpus", "resolved"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_device_that_is_there_is_resolved(asked: str, num_gpus: int, resolved: str) -> None:
    assert resolve_device(asked, facts=facts(num_gpus=num_gpus)) == resolved


@pytest.mark.parametrize(
    ("asked", "num_gpus", "message"),
    [
        ("cuda", 0, r"device: must be one of auto, cpu, got cuda; set device: auto"),
        ("cuda:2", 2, r"device: must be one of auto, cpu, cuda, cuda:0, cuda:1, got cuda:2; set device: auto"),
        ("cuda:x", 1, r"got cuda:x"),
        ("gpu", 1, r"got gpu"),
    ],
)
def test_device_that_is_not_there_is_refused(asked: str, num_gpus: int, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        resolve_device(asked, facts=facts(num_gpus=num_gpus))


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_part_of_a_gpu_that_can_not_be_found_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """``auto`` trained on the CPU without a word."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-c6d4f1ef")
    message = (
        rf"device: {asked} must find what CUDA_VISIBLE_DEVICES names, got MIG-c6d4f1ef, a part of a GPU .* `nvidia-s"
    )
    with pytest.raises(DeviceError, match=message):
        resolve_device(asked, facts=facts(num_gpus=0, cuda_version="13.0"))
    assert resolve_device("cpu", facts=facts(num_gpus=0, cuda_version="13.0")) == "cpu"


def test_parts_of_gpus_are_leased_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-c6d4f1ef, MIG-cba663e8")
    pool = make_pool("auto", facts=facts(num_gpus=2), jobs=2)
    taken = [pool.acquire(), pool.acquire()]
    assert {lease.visible_devices for lease in taken if lease is not None} == {"MIG-c6d4f1ef", "MIG-cba663e8"}


def test_torch_without_cuda_says_so_in_the_refusal() -> None:
    with pytest.raises(DeviceError, match=r"got cuda \(torch 2.13.0 is built without CUDA\); set device: auto"):
        resolve_device("cuda", facts=facts(num_gpus=0, cuda_version=None))


@pytest.mark.parametrize(
    ("device", "devices"), [("cpu", ("cpu",)), ("cuda", ("cuda:0", "cuda:1")), ("cuda:1", ("cuda:1",))]
)
def test_cuda_stands_for_every_gpu(device: str, devices: tuple[str, ...]) -> None:
    assert list_devices(device, facts=facts(num_gpus=2)) == devices


def test_pool_of_this_machine_has_every_core_that_it_may_use() -> None:
    lease = make_pool("auto", facts=facts(num_gpus=0), jobs=1).acquire()
    assert lease is not None
    assert lease.cores == usable_cores()
