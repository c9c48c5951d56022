"""Whether a machine is set up for studies: what was found, and what to mend."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import psutil

from autotune.disk import format_bytes
from autotune.errors import AutotuneError
from autotune.hardware import Machine, ask_machine, available_host_bytes, count_gpus, cpu_quota, read_load, usable_cores
from autotune.recording.database import find_database, hide_password, normalise_url, server_seconds, sqlite_folder
from autotune.recording.files import files_root
from autotune.recording.mlflow.store import find_problem, shown_uri
from autotune.recording.records import Records
from autotune.report.text.wording import format_duration, format_moment

State: TypeAlias = Literal["ok", "note", "mend"]
"""``ok``: nothing to do; ``note``: good to know; ``mend``: mend it before a study can be started or trusted."""

_MIB = 2**20
_GIB = 2**30
_LEAST_SHARED_BYTES, _ENOUGH_SHARED_BYTES = 128 * _MIB, _GIB
"""Below the first, shared memory must be enlarged; below the second, it is noted. Docker gives a container 64 MiB,
in which two workers' batches of pictures do not fit."""
_LEAST_DISK_BYTES, _ENOUGH_DISK_BYTES = 512 * _MIB, 5 * _GIB
_ENOUGH_MEMORY_BYTES = 2 * _GIB
_LEAST_TORCH = (2, 10)
_CLOCK_SECONDS = 5.0
_NETWORK_SYSTEMS = ("nfs", "cifs", "smb", "sshfs", "afs", "lustre", "glusterfs", "ceph", "beegfs", "gpfs")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; the fields are the keys of its JSON."""

    name: str
    state: State
    found: str
    remedy: str | None = None
    """What to do; None where nothing needs to be done."""


def check_setup(storage: str, *, tracking_uri: str) -> tuple[Finding, ...]:
    """Check everything that studies depend on, in the order in which they need it; takes seconds."""
    return (
        *check_torch(),
        *check_cores(num_usable=len(usable_cores()), num_all=os.cpu_count() or 1, quota=cpu_quota(), load=read_load()),
        check_memory(available_host_bytes()),
        check_shared_memory(_usage(Path("/dev/shm"))),  # noqa: S108 - no file of ours
        check_disk(folder := existing_folder(files_root(storage)), free=shutil.disk_usage(folder).free),
        *check_storage(storage),
        check_tracking(tracking_uri),
    )


def check_torch(ask: Callable[[], Machine] = ask_machine, *, num_gpus: int | None = None) -> tuple[Finding, ...]:
    """Check torch's version, its CUDA build against the driver's devices, and its compiler."""
    try:
        machine = ask()
    except AutotuneError as error:
        return (Finding("torch", "mend", str(error), "pip install --force-reinstall torch"),)
    torch = machine.torch
    version = Finding("torch", "ok", f"{torch.version}, Python {machine.python_version}")
    if tuple(int(part) for part in torch.version.split(".")[:2]) < _LEAST_TORCH:
        version = Finding("torch", "mend", torch.version, "pip install 'torch>=2.10'")
    compiler = Finding("compiler", "ok", "torch.compile works")
    if not torch.has_compiler:
        compiler = Finding("compiler", "note", "torch.compile is out: no compiler", "apt-get install g++, or the like")
    return version, _cuda(machine, num_gpus=count_gpus() if num_gpus is None else num_gpus), compiler


def _cuda(machine: Machine, *, num_gpus: int) -> Finding:
    torch = machine.torch
    if torch.accelerators:
        names = ", ".join(f"cuda:{device.index} {device.name}" for device in torch.accelerators)
        return Finding("CUDA", "ok", f"{torch.cuda_version}, cuDNN {torch.cudnn_version}: {names}")
    if not num_gpus:
        return Finding("CUDA", "ok", "no GPU here; trials run on the CPU")
    found = f"{num_gpus} GPUs that torch does not see"
    if torch.cuda_version is None:
        return Finding("CUDA", "mend", found, "this torch has no CUDA; install a build that has: https://pytorch.org")
    hidden = "CUDA_VISIBLE_DEVICES hides them, or the driver is older than torch's CUDA: see `nvidia-smi`"
    return Finding("CUDA", "mend", f"{found}, by CUDA {torch.cuda_version}", hidden)


def check_cores(*, num_usable: int, num_all: int, quota: float | None, load: float | None) -> tuple[Finding, ...]:
    """Check this process's cores against the host's, against a container's quota, and for load by others."""
    found = f"{num_usable} of {num_all}" if num_usable < num_all else str(num_all)
    cores = Finding("cores", "ok", found)
    if quota is not None and quota < num_usable:
        remedy = f"trials would start {num_usable} threads for {quota:g} cores; start autotune by `taskset -c 0-N`"
        cores = Finding("cores", "note", f"{found}, of which the container may use {quota:g}", remedy)
    if load is None:
        return (cores,)
    if load > num_usable / 2:
        remedy = "speeds that are measured beside other work compare with nothing: stop it, or race later"
        return cores, Finding("load", "note", f"{load:.1f} on {num_usable} cores", remedy)
    return cores, Finding("load", "ok", f"{load:.1f}")


def check_memory(available: int) -> Finding:
    """Check the host's free memory."""
    if available < _ENOUGH_MEMORY_BYTES:
        return Finding("memory", "note", f"{format_bytes(available)} are free", "each trial is a process with torch")
    return Finding("memory", "ok", f"{format_bytes(available)} are free")


def check_shared_memory(free: int | None) -> Finding:
    """Check the shared memory in which DataLoader workers put their batches; ``free`` is None where there is none."""
    if free is None:
        return Finding("shared memory", "note", "no /dev/shm", "DataLoader workers may not work: num_workers: 0")
    remedy = "workers hand batches over there: `docker run --shm-size=8g`, or mount -o remount,size=8g /dev/shm"
    if free < _LEAST_SHARED_BYTES:
        return Finding("shared memory", "mend", f"{format_bytes(free)} are free in /dev/shm", remedy)
    if free < _ENOUGH_SHARED_BYTES:
        return Finding("shared memory", "note", f"{format_bytes(free)} are free in /dev/shm", remedy)
    return Finding("shared memory", "ok", f"{format_bytes(free)} are free in /dev/shm")


def check_disk(folder: Path, *, free: int) -> Finding:
    """Check the folder of checkpoints and logs."""
    found = f"{format_bytes(free)} are free in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "mend", f"{folder} can't be written", "mend its permissions, or set AUTOTUNE_FILES")
    if free < _LEAST_DISK_BYTES:
        return Finding("disk", "mend", found, "checkpoints go there: make room, or set AUTOTUNE_FILES")
    if free < _ENOUGH_DISK_BYTES:
        return Finding("disk", "note", found, "each running trial has a checkpoint there, and so has the best one")
    return Finding("disk", "ok", found)


def check_storage(storage: str) -> tuple[Finding, ...]:
    """Check the database of studies, and this machine's clock against the times that it holds."""
    try:
        shown = hide_password(normalise_url(storage))
        folder = sqlite_folder(storage)
        if folder is not None:
            problem = _sqlite_problem(folder, system=file_system(folder))
            if problem is not None:
                return (problem,)
        engine = find_database(storage)
        if engine is None:
            return (Finding("database", "ok", f"{shown} is not there yet; `autotune study start` makes it"),)
        try:
            studies = Records(engine).studies()
            newest = max((max(study.created_at, study.ended_at or 0.0) for study in studies), default=0.0)
            clock = check_clock(now=time.time(), server=server_seconds(engine), newest=newest)
        finally:
            engine.dispose()
        return Finding(
            "database", "ok", f"{shown}, {len(studies)} {'study' if len(studies) == 1 else 'studies'}"
        ), clock
    except AutotuneError as error:
        return (Finding("database", "mend", str(error), "mend that, or name another by --storage"),)


def _sqlite_problem(folder: Path, *, system: str) -> Finding | None:
    if any(word in system for word in _NETWORK_SYSTEMS):
        remedy = "SQLite loses data on network file systems: a local disk, or postgresql://"
        return Finding("database", "mend", f"{folder} is {system}", remedy)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding("database", "mend", f"{folder} can't be written", "make it, or name another by --storage")
    return None


def check_clock(*, now: float, server: float | None, newest: float) -> Finding:
    """Check this machine's clock against the database server's, and against the newest recorded time."""
    if newest > now + _CLOCK_SECONDS:
        found = f"it shows {format_moment(now)}, and {format_moment(newest)} is recorded already"
        return Finding("clock", "mend", found, "set it: timedatectl set-ntp true")
    if server is not None and abs(server - now) > _CLOCK_SECONDS:
        found = f"{format_duration(abs(server - now))} from the database server's"
        return Finding("clock", "note", found, "times of several machines do not line up: timedatectl set-ntp true")
    return Finding("clock", "ok", format_moment(now))


def check_tracking(tracking_uri: str) -> Finding:
    """Check MLflow's store or server."""
    problem = find_problem(tracking_uri)
    if problem is not None:
        remedy = "studies run without it and deliver later; mend that, or name another by --tracking-uri"
        return Finding("MLflow", "mend", problem, remedy)
    return Finding("MLflow", "ok", shown_uri(tracking_uri))


def needs_mending(findings: Sequence[Finding]) -> bool:
    """Whether anything must be mended."""
    return any(finding.state == "mend" for finding in findings)


def existing_folder(path: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on, such as ``ext4``; empty where the system does not tell."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    above = (place for place in (folder.absolute(), *folder.absolute().parents) if place in mounts)
    return next((mounts[place] for place in above), "")


def _usage(folder: Path) -> int | None:
    return shutil.disk_usage(folder).free if folder.is_dir() else None
