"""Machines to resolve search spaces on, and to record."""

from autotune.hardware import Accelerator, Machine, TorchFacts


def torch_facts(*, num_gpus: int = 0, **facts: object) -> TorchFacts:
    """What torch answers on a CPU or beside GPUs of the Hopper kind; ``facts`` say otherwise."""
    gpus = tuple(
        Accelerator(index=index, name="a GPU", memory_bytes=8 * 2**30, capability=(9, 0)) for index in range(num_gpus)
    )
    usual = TorchFacts(
        version="2.13.0",
        cuda_version="13.0" if gpus else None,
        cudnn_version=91_000 if gpus else None,
        num_threads=4,
        accelerators=gpus,
        cpu_capability="AVX512",
        has_bf16_cpu=True,
        has_fp16_cpu=False,
        has_compiler=True,
        compile_modes=("default", "reduce-overhead", "max-autotune"),
        has_muon=True,
    )
    return TorchFacts.model_validate({**dict(usual), **facts})


def machine(*, hostname: str = "here", num_gpus: int = 0, **facts: object) -> Machine:
    """Four cores, and torch with these facts."""
    return Machine(
        hostname=hostname,
        system="Linux 6.1 x86_64",
        cpu="a CPU",
        num_cores=4,
        memory_bytes=8 * 2**30,
        python_version="3.11.0",
        torch=torch_facts(num_gpus=num_gpus, **facts),
    )
