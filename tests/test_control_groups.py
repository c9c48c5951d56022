"""Memory of a container, of both versions of control groups, from the files that the kernel shows."""

from pathlib import Path

import psutil
import pytest

from autotune.control_groups import memory_left, memory_limit, own_groups
from autotune.hardware import available_host_bytes, host_memory_bytes

GIB = 2**30


class Kernel:
    """A folder with the files of control groups."""

    def __init__(self, folder: Path) -> None:
        self.listing = folder / "cgroup"
        self.root = folder / "fs"
        self.root.mkdir()

    def list(self, *lines: str) -> None:
        self.listing.write_text("\n".join(lines) + "\n")

    def write(self, group: str, **files: object) -> None:
        """``memory_max=...`` is the group's file ``memory.max``."""
        folder = self.root / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("memory_", "memory.", 1)).write_text(f"{content}\n")

    def memory(self) -> tuple[int | None, int | None]:
        return (
            memory_limit(listing=self.listing, root=self.root),
            memory_left(listing=self.listing, root=self.root),
        )


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_limit_of_a_container_of_version_2_stands_at_its_root(kernel: Kernel) -> None:
    kernel.list("0::/")
    kernel.write("", memory_max=4 * GIB, memory_current=3 * GIB, memory_stat=f"anon 5\ninactive_file {GIB}\nslab 1")
    assert kernel.memory() == (4 * GIB, 2 * GIB)


def test_limit_of_version_1_is_read(kernel: Kernel) -> None:
    kernel.list("5:devices:/", "4:cpu,memory:/docker/abc")
    kernel.write("memory/docker/abc", memory_limit_in_bytes=2 * GIB, memory_usage_in_bytes=GIB)
    kernel.write("memory", memory_limit_in_bytes=9223372036854771712, memory_usage_in_bytes=5 * GIB)
    assert kernel.memory() == (2 * GIB, GIB)


def test_group_that_a_container_does_not_see_is_looked_for_at_its_root(kernel: Kernel) -> None:
    """Without a namespace of its own it is told the host's path, and shown its own group as the root."""
    kernel.list("4:memory:/docker/abc")
    kernel.write("memory", memory_limit_in_bytes=2 * GIB, memory_usage_in_bytes=GIB)
    assert kernel.memory() == (2 * GIB, GIB)


def test_tightest_group_counts(kernel: Kernel) -> None:
    kernel.list("0::/slice/job/step")
    kernel.write("slice", memory_max="max", memory_current=7 * GIB)
    kernel.write("slice/job", memory_max=4 * GIB, memory_current=7 * GIB // 2)
    kernel.write("slice/job/step", memory_max=6 * GIB, memory_current=GIB)
    assert kernel.memory() == (4 * GIB, GIB // 2)


@pytest.mark.parametrize("lines", [["0::/"], ["4:memory:/a"], ["not a group"], []], ids=repr)
def test_system_without_limits_tells_none(kernel: Kernel, lines: list[str]) -> None:
    kernel.list(*lines)
    kernel.write("", memory_max="max", memory_current=GIB)
    assert kernel.memory() == (None, None)


def test_system_without_control_groups_has_none(kernel: Kernel) -> None:
    assert own_groups(listing=kernel.listing, root=kernel.root) == ()


def test_host_has_no_more_than_the_system_says() -> None:
    assert 0 < host_memory_bytes() <= psutil.virtual_memory().total
    assert 0 < available_host_bytes() <= host_memory_bytes()


def test_memory_of_a_container_is_what_its_group_allows(kernel: Kernel) -> None:
    kernel.list("0::/")
    kernel.write("", memory_max=2**20, memory_current=2**19)
    limit, left = kernel.memory()
    assert host_memory_bytes(limit=lambda: limit) == 2**20
    assert available_host_bytes(left=lambda: left) == 2**19
