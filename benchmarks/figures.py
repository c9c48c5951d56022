"""How every benchmark says what it ran on, and how it writes a ratio with its interval."""

import platform
from importlib.metadata import version

from autotune.hardware import ask_machine, read_load


def header(*packages: str) -> str:
    """Two lines: the machine with its load, and the versions of Python, torch and these packages.

    torch is asked in a process of its own, so a benchmark whose subject has no torch stays without.
    """
    machine = ask_machine()
    devices = ", ".join(accelerator.name for accelerator in machine.torch.accelerators) or "no accelerator"
    names = [f"Python {platform.python_version()}", f"torch {machine.torch.version}"]
    names += [f"{name} {version(name)}" for name in packages]
    return (
        f"{machine.cpu} ({machine.torch.cpu_capability}), {machine.num_cores} cores, {devices}, {machine.system}, "
        f"load {load()}\n{', '.join(names)}"
    )


def load() -> str:
    """The host's load average over the last minute."""
    found = read_load()
    return "unknown" if found is None else f"{found:.1f}"


def figure(ratio: float, interval: tuple[float, float]) -> str:
    """Such as ``0.981 [0.926, 0.999]``."""
    return f"{ratio:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
