"""A machine in a few lines."""

from autotune.disk import format_bytes
from autotune.hardware import Machine


def machine_lines(machine: Machine) -> tuple[str, ...]:
    """Host, CPU, memory, torch and every device that it can train on."""
    torch = machine.torch
    cuda = f"CUDA {torch.cuda_version}, cuDNN {torch.cudnn_version}" if torch.cuda_version else "without CUDA"
    has = {
        "bf16": torch.has_bf16_cpu,
        "fp16": torch.has_fp16_cpu,
    }
    formats = ", ".join(name for name, is_there in has.items() if is_there) or "neither bf16 nor fp16"
    devices = [
        f"device:  cuda:{device.index}  {device.name}, {format_bytes(device.memory_bytes)}, "
        f"compute capability {device.capability[0]}.{device.capability[1]}"
        for device in torch.accelerators
    ]
    quota = f" (a container's share of them: {machine.cpu_quota:g})" if machine.cpu_quota is not None else ""
    threads = "1 thread" if torch.num_threads == 1 else f"{torch.num_threads} threads"
    return (
        f"host:    {machine.hostname}, {machine.system}",
        f"CPU:     {machine.cpu}, {machine.num_cores} cores{quota}, {torch.cpu_capability}, {formats} in hardware",
        f"memory:  {format_bytes(machine.memory_bytes)}",
        f"torch:   {torch.version} {cuda}, {threads}, Python {machine.python_version}",
        f"compile: {', '.join(torch.compile_modes) if torch.has_compiler else 'no compiler found'}",
        *(devices or ["device:  cpu"]),
        f"fingerprints: hardware {machine.hardware_fingerprint}, software {machine.software_fingerprint}",
    )
