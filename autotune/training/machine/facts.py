"""What torch says about itself and its devices; ``python -m autotune.training.machine.facts`` prints it as JSON."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch

from autotune.hardware import PART_PREFIX, Accelerator, TorchFacts

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")


def torch_facts() -> TorchFacts:
    """What torch says about itself and its devices; CUDA is not initialised, so that a process may fork afterwards."""
    devices = _accelerators()
    accelerators = tuple(device for device, _ in devices)
    cpu = torch.cpu.get_capabilities()
    has_compiler = _has_compiler(has_cuda=bool(accelerators))
    return TorchFacts(
        version=torch.__version__,
        cuda_version=torch.version.cuda,
        cudnn_version=_cudnn_version() if accelerators else None,
        num_threads=torch.get_num_threads(),
        accelerators=accelerators,
        accelerator_ids=tuple(identity for _, identity in devices),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        has_bf16_cpu=bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16")),
        has_fp16_cpu=bool(cpu.get("avx512_fp16") or cpu.get("amx_fp16")),
        has_compiler=has_compiler,
        compile_modes=_COMPILE_MODES if has_compiler else (),
        has_muon=hasattr(torch.optim, "Muon"),
        has_amx_bf16=bool(cpu.get("amx_bf16")),
    )


def _cudnn_version() -> int | None:
    """The version as a number such as 91002; None where torch has no cuDNN."""
    # torch.backends.cudnn.version() looks at every device's capability, which initialises CUDA (torch 2.11).
    cudnn = getattr(torch._C, "_cudnn", None)  # noqa: SLF001 - what that function returns in the end
    return None if cudnn is None else int(cudnn.getVersionInt())


def _has_compiler(*, has_cuda: bool) -> bool:
    """Whether torch.compile has what it needs: a C++ compiler, and Triton for a GPU."""
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    has_cpp = any(name and shutil.which(name) for name in names)
    return has_cpp and (not has_cuda or importlib.util.find_spec("triton") is not None)


def _accelerators() -> tuple[tuple[Accelerator, str], ...]:
    """The GPUs, or parts of GPUs, that this process may use, each with its id."""
    # NVML knows everything that is asked here; torch.cuda.get_device_properties would initialise CUDA.
    if torch.version.cuda is None or not _has_devices():
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        if _names_parts():
            return ()
        raise
    try:
        devices = _visible(_list_devices())
        return tuple((_describe(device, index=index), device.identity) for index, device in enumerate(devices))
    finally:
        pynvml.nvmlShutdown()


def _names_parts() -> bool:
    """Whether the environment names parts of GPUs (MIG) by their ids."""
    return os.environ.get(_VISIBLE, "").startswith(PART_PREFIX)


def _has_devices() -> bool:
    """Whether torch sees a GPU; where parts are named, they count without asking."""
    # Where parts of GPUs are named torch asks CUDA itself how many there are, and no process may fork after that.
    return _names_parts() or torch.cuda.device_count() > 0


@dataclass(frozen=True)
class _Device:
    """A GPU, or a part of one (MIG), as NVML has it."""

    handle: object
    identity: str
    whole: object
    """Handle of the GPU that this is, or is a part of."""
    has_number: bool
    """Whether CUDA counts it: whole GPUs have numbers, parts have none."""


def _list_devices() -> list[_Device]:
    """All GPUs of this host, with their parts where the environment names parts."""
    import pynvml

    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        found.append(_Device(gpu, _text(pynvml.nvmlDeviceGetUUID(gpu)), whole=gpu, has_number=True))
        parts = _list_parts(gpu) if _names_parts() else ()
        found += [_Device(part, _text(pynvml.nvmlDeviceGetUUID(part)), whole=gpu, has_number=False) for part in parts]
    return found


def _list_parts(gpu: object) -> Iterator[object]:
    """NVML's handles of a GPU's parts."""
    import pynvml

    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):  # none where MIG is off
        with suppress(pynvml.NVMLError):  # of so many that it could have
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)


def _describe(device: _Device, *, index: int) -> Accelerator:
    import pynvml

    return Accelerator(
        index=index,
        name=_text(pynvml.nvmlDeviceGetName(device.handle)),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(device.handle).total),
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(device.whole)),
    )


def _visible(devices: list[_Device]) -> list[_Device]:
    """The devices that CUDA_VISIBLE_DEVICES names, in its order, by number or by a beginning of the id."""
    words = os.environ.get(_VISIBLE)
    numbered = [device for device in devices if device.has_number]
    if words is None:
        return numbered
    seen: list[_Device] = []
    for word in (part.strip() for part in words.split(",")):
        if word.isdigit() and int(word) < len(numbered):
            seen.append(numbered[int(word)])
            continue
        named = [device for device in devices if device.identity.startswith(word)]
        if not word or word.isdigit() or len(named) != 1:
            break  # CUDA too stops at the first word that it can't follow
        seen.append(named[0])
    return seen


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    print(torch_facts().model_dump_json())  # noqa: T201 - the answer itself
