"""What torch needs of a process that forks others, and of those that it forks."""

import importlib
import os

import torch


def import_ahead(*modules: str) -> None:
    """Import what every trial needs, torch's own late imports included, so that no forked process has to.

    The first optimizer of a process imports ``torch._dynamo`` and 800 modules with it, for over
    a second, also where nothing is compiled (``torch/_compile.py``).

    Args:
        modules: Names of further modules, which this room may not import.
    """
    for module in ("torch._dynamo", "autotune.training.process.rehearsal", "autotune.training.process.run", *modules):
        importlib.import_module(module)


def hold_threads() -> int:
    """Keep torch's operations on the calling thread from now on; returns how many threads it would use.

    OpenMP's pool does not survive a fork: a child whose parent has one hangs at its first
    parallel operation (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=58378).
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return num_threads


def restore_threads(num_threads: int) -> None:
    """Give a forked process torch's default number of threads, at most one for each of its cores."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else num_threads
    torch.set_num_threads(max(1, min(num_threads, num_cores)))


def has_used_cuda() -> bool:
    """Whether CUDA is initialised in this process, so that no process forked from it can use it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
