"""What torch says about itself and its devices; ``python -m autotune.training.machine.facts`` prints it as JSON."""

import importlib.util
import os
import shutil

import torch

from autotune.hardware import Accelerator, TorchFacts

_COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")


def torch_facts() -> TorchFacts:
    """The facts, without initialising CUDA, so that a process may fork afterwards."""
    accelerators = _accelerators()
    cpu = torch.cpu.get_capabilities()
    has_compiler = _has_compiler(has_cuda=bool(accelerators))
    return TorchFacts(
        version=torch.__version__,
        cuda_version=torch.version.cuda,
        cudnn_version=_cudnn_version() if accelerators else None,
        num_threads=torch.get_num_threads(),
        accelerators=accelerators,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        has_bf16_cpu=bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16")),
        has_fp16_cpu=bool(cpu.get("avx512_fp16") or cpu.get("amx_fp16")),
        has_compiler=has_compiler,
        compile_modes=_COMPILE_MODES if has_compiler else (),
        has_muon=hasattr(torch.optim, "Muon"),
        has_amx_bf16=bool(cpu.get("amx_bf16")),
    )


def _cudnn_version() -> int | None:
    # torch.backends.cudnn.version() looks at every device's capability, which initialises CUDA (torch 2.11).
    cudnn = getattr(torch._C, "_cudnn", None)  # noqa: SLF001 - what that function returns in the end
    return None if cudnn is None else int(cudnn.getVersionInt())


def _has_compiler(*, has_cuda: bool) -> bool:
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    has_cpp = any(name and shutil.which(name) for name in names)
    return has_cpp and (not has_cuda or importlib.util.find_spec("triton") is not None)


def _accelerators() -> tuple[Accelerator, ...]:
    # NVML knows everything that is asked here; torch.cuda.get_device_properties would initialise CUDA.
    if torch.version.cuda is None or torch.cuda.device_count() == 0:
        return ()
    import pynvml

    pynvml.nvmlInit()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        visible = _visible(handles, [_text(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles])
        return tuple(
            Accelerator(
                index=index,
                name=_text(pynvml.nvmlDeviceGetName(handle)),
                memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
            )
            for index, handle in enumerate(visible)
        )
    finally:
        pynvml.nvmlShutdown()


def _visible(handles: list[object], identities: list[str]) -> list[object]:
    """The handles that CUDA_VISIBLE_DEVICES leaves, in its order: by number, or by a start of the id."""
    words = os.environ.get("CUDA_VISIBLE_DEVICES")
    if words is None:
        return handles
    seen: list[object] = []
    for word in (part.strip() for part in words.split(",")):
        if word.isdigit() and int(word) < len(handles):
            seen.append(handles[int(word)])
            continue
        named = [handle for handle, identity in zip(handles, identities, strict=True) if identity.startswith(word)]
        if not word or word.isdigit() or len(named) != 1:
            break  # CUDA too stops at the first word that it can't follow
        seen.append(named[0])
    return seen


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    print(torch_facts().model_dump_json())  # noqa: T201 - the answer itself
