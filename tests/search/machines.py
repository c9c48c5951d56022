"""Machines to resolve search spaces on."""

from autotune.hardware import Accelerator, Machine, TorchFacts


def machine(
    *, num_gpus: int = 0, has_muon: bool = True, has_fp16_cpu: bool = False, has_compiler: bool = True
) -> Machine:
    gpus = tuple(
        Accelerator(index=index, name="a GPU", memory_bytes=8 * 2**30, capability=(9, 0)) for index in range(num_gpus)
    )
    torch = TorchFacts(
        version="2.13.0",
        cuda_version="13.0" if gpus else None,
        cudnn_version=91_000 if gpus else None,
        num_threads=4,
        accelerators=gpus,
        cpu_capability="AVX512",
        has_bf16_cpu=True,
        has_fp16_cpu=has_fp16_cpu,
        has_compiler=has_compiler,
        compile_modes=("default", "reduce-overhead", "max-autotune"),
        has_muon=has_muon,
    )
    return Machine(
        hostname="here",
        system="Linux 6.1 x86_64",
        cpu="a CPU",
        num_cores=4,
        memory_bytes=8 * 2**30,
        python_version="3.11.0",
        torch=torch,
    )
