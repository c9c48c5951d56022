"""What the control groups of this process let it have of the host's memory: a container's, a systemd unit's, a job's.

Both versions are read: https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/memory.html.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTING = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Version:
    """Which files of a group's folder say what."""

    limit: str
    held: str
    reclaimable: str
    """Key in ``memory.stat`` of file pages, which the kernel frees before it refuses memory."""
    kills: str


_FIRST = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control")
_SECOND = _Version("memory.max", "memory.current", "inactive_file", "memory.events")


@dataclass(frozen=True)
class MemoryGroup:
    """A control group that holds this process, as far as it is about memory."""

    folder: Path
    version: _Version

    @property
    def limit_bytes(self) -> int | None:
        """Bytes that all processes of the group may hold together; None where nothing limits them."""
        return _read_number(self.folder / self.version.limit)  # version 2 says "max", version 1 a number beyond all RAM

    @property
    def held_bytes(self) -> int | None:
        """Bytes that the group's processes hold now and can't free; None where the system does not tell."""
        held = _read_number(self.folder / self.version.held)
        return None if held is None else max(0, held - self._reclaimable_bytes())

    @property
    def kills(self) -> Path:
        """The file whose ``oom_kill`` counts processes of the group that the kernel killed for want of memory."""
        return self.folder / self.version.kills

    def _reclaimable_bytes(self) -> int:
        try:
            lines = (self.folder / "memory.stat").read_text().splitlines()
        except OSError:
            return 0
        counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
        return int(counts.get(self.version.reclaimable, "0"))


def own_groups(*, listing: Path = _LISTING, root: Path = _ROOT) -> tuple[MemoryGroup, ...]:
    """The groups that this process is in itself, of version 2 before version 1; empty where there are none."""
    try:
        lines = listing.read_text().splitlines()
    except OSError:
        return ()
    entries = [line.split(":", 2) for line in lines if line.count(":") > 1]
    second = [MemoryGroup(root / group.lstrip("/"), _SECOND) for _, kinds, group in entries if not kinds]
    first = [
        MemoryGroup(root / "memory" / group.lstrip("/"), _FIRST)
        for _, kinds, group in entries
        if "memory" in kinds.split(",")
    ]
    return (*second, *first)


def memory_limit(*, listing: Path = _LISTING, root: Path = _ROOT) -> int | None:
    """The smallest limit of all groups above this process, in bytes; None where none has a limit."""
    limits = [group.limit_bytes for group in _all_groups(listing=listing, root=root)]
    return min((limit for limit in limits if limit is not None), default=None)


def memory_left(*, listing: Path = _LISTING, root: Path = _ROOT) -> int | None:
    """The fewest bytes left below the limit of a group above this process; None where none has a limit."""
    left = [
        max(0, limit - held)
        for group in _all_groups(listing=listing, root=root)
        if (limit := group.limit_bytes) is not None and (held := group.held_bytes) is not None
    ]
    return min(left, default=None)


def _all_groups(*, listing: Path, root: Path) -> Iterator[MemoryGroup]:
    """Own groups and those above them, up to the root: in a container's view the root is the container's own."""
    for group in own_groups(listing=listing, root=root):
        top = root if group.version is _SECOND else root / "memory"
        for folder in (group.folder, *group.folder.parents):
            if folder.is_relative_to(top):
                yield MemoryGroup(folder, group.version)


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
