"""``autotune hardware``."""

import click

from autotune.cli.options import json_option


@click.command()
@json_option
def hardware(*, as_json: bool) -> None:
    """Show the machine at hand as studies see it.

    Asks torch in a process of its own, which takes a few seconds.

    JSON keys: hostname, system, cpu, num_cores, memory_bytes, python_version, torch,
    hardware_fingerprint, software_fingerprint.
    """
    from autotune.cli.output import echo_json, to_json
    from autotune.hardware import ask_machine
    from autotune.report.machines import machine_lines

    machine = ask_machine()
    if as_json:
        facts = to_json(machine)
        assert isinstance(facts, dict)
        fingerprints = {
            "hardware_fingerprint": machine.hardware_fingerprint,
            "software_fingerprint": machine.software_fingerprint,
        }
        echo_json({**facts, **fingerprints})
        return
    click.echo("\n".join(machine_lines(machine)))
