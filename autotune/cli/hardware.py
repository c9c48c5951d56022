"""``autotune hardware``."""

from typing import TYPE_CHECKING

import click

from autotune.cli.options import json_option

if TYPE_CHECKING:
    from autotune.report.machine.knobs import KnobSummary


@click.command()
@json_option
def hardware(*, as_json: bool) -> None:
    """Show the machine at hand as studies see it.

    Every speed parameter comes with its legal values here and with those that a race tries, or with
    the reason why it is out. auto is the cores that a trial has, where a race tries numbers.
    Asks torch in a process of its own, which takes a few seconds.

    JSON keys: hostname, system, cpu, num_cores, memory_bytes, python_version, torch,
    num_physical_cores, allocators, cpu_quota, hardware_fingerprint, software_fingerprint, knobs
    (each: name, summary, choices, low and high where it is a number, values that a race tries,
    reason, left_out, numerics, needs, is_raced, simplest, needs_positive, goes_with, excludes, docs).
    """
    from autotune.cli.output import echo_json, echo_lines, print_table, to_json
    from autotune.hardware import ask_machine
    from autotune.report.machine.description import machine_lines
    from autotune.report.machine.knobs import bound, left_out, list_knobs
    from autotune.report.text.wording import lines_by_reason

    machine = ask_machine()
    if as_json:
        facts = to_json(machine)
        assert isinstance(facts, dict)
        fingerprints = {
            "hardware_fingerprint": machine.hardware_fingerprint,
            "software_fingerprint": machine.software_fingerprint,
        }
        echo_json({**facts, **fingerprints, "knobs": to_json(list_knobs(machine))})
        return
    click.echo("\n".join(machine_lines(machine)))
    knobs = list_knobs(machine)
    click.echo("\nspeed parameters, with their legal values here; a race tries all of them where it says no others:")
    print_table(("knob", "values", "numerics", "a change needs"), [_row(knob) for knob in knobs if knob.reason is None])
    for title, pairs in (("bound to each other:", bound(knobs)), ("left out here:", left_out(knobs))):
        lines = lines_by_reason(pairs)
        echo_lines(["", title, *(f"  {line}" for line in lines)] if lines else [])


def _row(knob: "KnobSummary") -> tuple[str, str, str, str]:
    return (knob.name, knob.words, knob.numerics, knob.needs)
