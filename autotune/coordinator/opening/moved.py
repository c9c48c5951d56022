"""Tells a user that a study goes on on another machine or with other software versions."""

from autotune.hardware import Machine
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.spec.model import StudySpec


def describe_move(records: Records, study: StudyRow, *, spec: StudySpec, machine: Machine) -> str | None:
    """One line where the study's last trial ran on other hardware or versions than this start; None where not.

    What was learned is kept: it is the same training. What was measured of speed, and how much
    memory a trial takes, is looked up by the fingerprints of machine and versions, so that nothing
    of the other machine is believed.
    """
    ran_on = [row.environment_id for row in records.trials(study) if row.environment_id is not None]
    if not ran_on:
        return None
    before = EnvironmentRecords(records.engine).all()[ran_on[-1]].machine
    differences = _differences(before, machine)
    if not differences:
        return None
    speed = "speed is measured again" if spec.speed_search.name == "race" else "speeds before and after don't compare"
    return f"another machine or other versions than before ({'; '.join(differences)}): trials are kept, {speed}"


def _differences(before: Machine, now: Machine) -> list[str]:
    """What differs of all that the fingerprints are made of, as ``torch 2.12.0 → 2.13.0``."""
    if (before.hardware_fingerprint, before.software_fingerprint) == (
        now.hardware_fingerprint,
        now.software_fingerprint,
    ):
        return []
    then, here = _facts(before), _facts(now)
    return [f"{name} {then[name]} → {here[name]}" for name in here if then[name] != here[name]]


def _facts(machine: Machine) -> dict[str, str]:
    torch = machine.torch
    return {
        "CPU": machine.cpu,
        "cores": str(machine.num_cores),
        "share of the cores": "all" if machine.cpu_quota is None else f"{machine.cpu_quota:g}",
        "memory": f"{round(machine.memory_bytes / 2**30)} GiB",
        "devices": ", ".join(accelerator.name for accelerator in torch.accelerators) or "none",
        "system": machine.system,
        "Python": machine.python_version,
        "torch": torch.version,
        "CUDA": str(torch.cuda_version),
        "cuDNN": str(torch.cudnn_version),
    }
