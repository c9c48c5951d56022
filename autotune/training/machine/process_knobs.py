"""The speed parameters that hold for a whole process: set, and read back from torch."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.hardware import physical_cores, usable_cores
from autotune.training.machine.allocator import allocator_in_force, retain_freed_memory
from autotune.training.parameters import Parameters

_LEGACY_NAMES = {"ieee": "highest", "tf32": "high", "bf16": "medium"}
_PLACES = ("matmul", "conv", "rnn")


def apply_process_knobs(params: Parameters, *, cores: tuple[int, ...], device: torch.device) -> None:
    """Set threads, cuDNN's flags, precisions and attention; a parameter that is absent leaves torch's default.

    Without ``torch_threads``, a trial takes as many threads as it has cores on lease.
    """
    # These two were heeded before torch was there (trial/child.py, trial/relaunch.py).
    is_physical = params.get("cpu_affinity") == "physical"
    params.get("cuda_allocator")
    if params.get("allocator") == "retain":
        retain_freed_memory()
    num_cores = len(usable_cores()) if is_physical else len(cores)
    threads = params.get("torch_threads", num_cores or None)
    if threads is not None:
        torch.set_num_threads(int(threads))
    if "cudnn_benchmark" in params:
        torch.backends.cudnn.benchmark = bool(params["cudnn_benchmark"])
    if "cudnn_benchmark_limit" in params and device.type == "cuda":
        torch.backends.cudnn.benchmark_limit = int(params.get("cudnn_benchmark_limit"))
    if "cudnn_deterministic" in params:
        torch.backends.cudnn.deterministic = bool(params["cudnn_deterministic"])
    _apply_precisions(params, device)
    if "sdpa_backend" in params:
        _allow_attention(str(params["sdpa_backend"]))


def process_knobs_in_force(device: torch.device) -> dict[str, Scalar]:
    """The values of all these knobs as torch has them now; those of cuDNN and CUDA on a CUDA device alone."""
    knobs: dict[str, Scalar] = {
        "torch_threads": torch.get_num_threads(),
        "float32_matmul_precision": _legacy_matmul_precision(),
        "sdpa_backend": _attention_in_force(),
        "allocator": allocator_in_force(),
        "cpu_affinity": _affinity_in_force(),
    }
    for place in _PLACES:
        knobs[f"fp32_precision_{place}"] = _read_precision(place, device)
    if device.type == "cuda":
        knobs["cudnn_benchmark"] = torch.backends.cudnn.benchmark
        knobs["cudnn_benchmark_limit"] = torch.backends.cudnn.benchmark_limit
        knobs["cudnn_deterministic"] = torch.backends.cudnn.deterministic
        knobs["cuda_allocator"] = _cuda_allocator_in_force()
    return knobs


def _apply_precisions(params: Parameters, device: torch.device) -> None:
    if "float32_matmul_precision" in params:
        torch.set_float32_matmul_precision(str(params["float32_matmul_precision"]))
    if "fp32_precision_matmul" in params:
        # By the old name, which sets the new properties of all backends too. Set by a property alone, the old
        # getters raise (torch 2.13), and torch.compile calls them (_inductor/codecache.py, CacheBase).
        torch.set_float32_matmul_precision(_LEGACY_NAMES[str(params["fp32_precision_matmul"])])
    for place in ("conv", "rnn"):
        if f"fp32_precision_{place}" in params:
            _backend(place, device).fp32_precision = str(params[f"fp32_precision_{place}"])


def _affinity_in_force() -> str:
    """``physical`` where the host has hyper-threads and this process has one for each physical core, else ``all``."""
    cores, host = usable_cores(), tuple(range(os.cpu_count() or 1))
    has_siblings = len(physical_cores(host)) < len(host)
    return "physical" if has_siblings and physical_cores(cores) == cores else "all"


def _cuda_allocator_in_force() -> str:
    backend = torch.cuda.get_allocator_backend()
    if backend != "native":
        return backend
    settings = torch.cuda.memory._snapshot()["allocator_settings"]  # noqa: SLF001 - nothing else tells
    return "expandable_segments" if settings.get("expandable_segments") else "native"


def _read_precision(place: str, device: torch.device) -> Scalar:
    """``ieee``, ``tf32`` or ``bf16``, as torch has it for these operations."""
    precision: str = _backend(place, device).fp32_precision
    return "ieee" if precision == "none" else precision  # nothing is set, here or for the whole backend


def _backend(place: str, device: torch.device) -> Any:  # noqa: ANN401 - torch's own type for it is private
    """The part of torch.backends that has these operations' ``fp32_precision`` on this device."""
    backends = torch.backends
    if device.type != "cuda":
        return getattr(backends.mkldnn, place)
    return backends.cuda.matmul if place == "matmul" else getattr(backends.cudnn, place)


def _legacy_matmul_precision() -> Scalar:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # a task set a backend's own fp32_precision: the old getter refuses to answer then
        return None


_ATTENTION: Mapping[str, tuple[Callable[[bool], None], Callable[[], bool]]] = {
    "math": (torch.backends.cuda.enable_math_sdp, torch.backends.cuda.math_sdp_enabled),
    "flash": (torch.backends.cuda.enable_flash_sdp, torch.backends.cuda.flash_sdp_enabled),
    "mem_efficient": (torch.backends.cuda.enable_mem_efficient_sdp, torch.backends.cuda.mem_efficient_sdp_enabled),
    "cudnn": (torch.backends.cuda.enable_cudnn_sdp, torch.backends.cuda.cudnn_sdp_enabled),
}
"""For each implementation of attention, what allows it and what tells whether it is allowed. A CPU heeds them too."""


def _allow_attention(backend: str) -> None:
    """Allow this implementation of attention alone, or all of them for ``auto``."""
    if backend != "auto" and backend not in _ATTENTION:
        raise TaskError(f"sdpa_backend: must be one of auto, {', '.join(_ATTENTION)}, got {backend!r}")
    for name, (allow, _) in _ATTENTION.items():
        allow(backend in {"auto", name})


def _attention_in_force() -> str:
    allowed = [name for name, (_, is_allowed) in _ATTENTION.items() if is_allowed()]
    return "auto" if len(allowed) == len(_ATTENTION) else " or ".join(allowed)
