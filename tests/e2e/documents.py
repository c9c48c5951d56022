"""The commands of a document with the output that it prints under them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.home import Home

ROOT = Path(__file__).parents[2]

_CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d[\d.,:]*(?:e-?\d+)?(?: m?s\b)?")
"""Figures vary from run to run and from machine to machine: one stands for any other, and so do seconds of any size."""


@dataclass(frozen=True)
class Step:
    """One line that starts with a dollar sign."""

    command: str
    """Without its comment."""
    output: str
    """As the document has it: ``...`` stands for anything, a number for any number."""

    def is_as_printed(self, text: str) -> bool:
        """Whether the document's lines stand in the text, one after the other; one without lines says nothing."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        patterns = [_pattern(line) for line in lines if line.strip() != "..."]
        found = iter(text.splitlines())
        return all(any(pattern.fullmatch(line.strip()) for line in found) for pattern in patterns)


def read_steps(document: Path) -> tuple[Step, ...]:
    """All steps of the document's console blocks, in order."""
    steps = []
    for block in _CONSOLE.findall(document.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            steps.append(Step(" ".join(shlex.split(line, comments=True)), output))
    return tuple(steps)


def read_file(document: Path, name: str) -> str:
    """The file whose block starts with a comment of its name."""
    found = re.search(rf"```\w+\n(# {re.escape(name)}\n.*?)```", document.read_text(), flags=re.DOTALL)
    assert found is not None, f"{document.name} has no {name}"
    return found[1]


def run_steps(steps: Iterator[Step], *, home: Home, shorter: Mapping[str, str]) -> None:
    """Run each step in the folder, and hold what it printed against the document.

    ``shorter`` has options that are added to some commands, so that a test does not take minutes.
    """
    for step in steps:
        text = run(f"{step.command} {shorter.get(step.command, '')}", home=home)
        assert step.is_as_printed(text), f"$ {step.command}\n--- printed:\n{text}\n--- in the document:\n{step.output}"


def run(command: str, *, home: Home) -> str:
    """What the command prints, in the order of a terminal; it must succeed."""
    command, _, target = command.partition(" > ")
    program, *words = shlex.split(command)
    programs = {"autotune": home.command(*words), "python": [sys.executable, *words]}
    errors = subprocess.PIPE if target else subprocess.STDOUT
    done = subprocess.run(
        programs[program],
        cwd=home.folder,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        timeout=150,
        check=False,
    )
    # The doctor may find something to mend on the machine that runs the tests.
    is_fine = done.returncode == 0 or (command.strip() == "autotune doctor" and done.returncode == 1)
    assert is_fine, f"$ {command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    if not target:
        return done.stdout
    (home.folder / target.strip()).write_text(done.stdout)
    return ""


def _pattern(line: str) -> "re.Pattern[str]":
    parts = [_NUMBER.sub("\0", part) for part in line.strip().split("...")]
    return re.compile(
        ".*".join(
            re.escape(part).replace("\0", r"[-+]?[\d][\d.,:e-]*(?: m?s\b)?").replace(r"\ ", r"\s+") for part in parts
        )
    )
