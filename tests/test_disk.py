import errno
from pathlib import Path

import pytest

from autotune.disk import describe_disk_error, find_disk_error, format_bytes


@pytest.mark.parametrize(("count", "text"), [(512, "512 B"), (2**20, "1 MiB"), (8 * 2**30, "8.0 GiB")])
def test_bytes_are_in_binary_units(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_full_disk_is_named_with_the_file() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    assert describe_disk_error(error, Path("/data/checkpoint.pt")) == "no space left on device, /data/checkpoint.pt"


def test_cause_behind_what_hides_it_is_found() -> None:
    cause = OSError(errno.ENOSPC, "No space left on device")
    hiding = RuntimeError("unexpected pos 704 vs 598")
    hiding.__context__ = cause
    assert find_disk_error(hiding) is cause
    assert find_disk_error(RuntimeError("nothing to do with a disk")) is None
