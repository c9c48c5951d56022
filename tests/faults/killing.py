"""Kill -9 at random moments, over everything that a study runs in, with a ledger of what it had acknowledged.

A study says a report or an outcome on its terminal once it is recorded: that is an acknowledgement. Whatever is killed
and whenever, at the end every acknowledged one must stand, once, and every trial must have the losses that it has in a
study that nobody disturbs.
"""

import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import psutil

from autotune.events import Outcome
from autotune.recording.database import open_database
from autotune.recording.records import Records
from tests.e2e.home import TASK, Home, runs_of

Victim: TypeAlias = Literal["coordinator", "fork server", "trial", "loader worker"]
VICTIMS: tuple[Victim, ...] = ("coordinator", "fork server", "trial", "loader worker")

NUM_TRIALS, NUM_EPOCHS = 3, 3
MOST_RESTARTS_REASON = "4 times"
"""A trial whose process was killed so often is given up, which is promised, too."""
# A random search proposes by seed and number alone, so that every study of a seed is the same one.
SPEC = f"""
task: tiny.py:Tiny
objective: {{metric: val_accuracy, direction: maximize}}
budget: {{trials: {NUM_TRIALS}, epochs: {NUM_EPOCHS}}}
sampler: random
pruner: none
speed_search: fixed
learning:
  optimizer: {{choices: [sgd, adam]}}
  lr: {{low: 1e-3, high: 1e-1, log: true}}
  batch_size: 64
  width: {{low: 2, high: 8}}
speed:
  torch_threads: 1
  num_workers: 1
baseline: {{optimizer: adam, lr: 1e-2, width: 4}}
log_model: false
confirm: {{repeats: 0}}
"""
_REPORT = re.compile(r"trial (\d+) epoch (\d+)/\d+: val_accuracy (\S+?),")
_OUTCOME = re.compile(r"trial (\d+) (complete|failed|infeasible|pruned|diverged)\b")
_END_SECONDS = 150.0
TRAINING_SHARE = 0.75

History: TypeAlias = list[dict[str, float]]


@dataclass
class Ledger:
    """What was killed, what had been acknowledged, and what was not as promised at the end."""

    kills: Counter[Victim] = field(default_factory=Counter)
    num_studies: int = 0
    num_reports: int = 0
    """Acknowledged reports."""
    num_outcomes: int = 0
    """Acknowledged outcomes."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    """Anything else: another loss than in an undisturbed study, another number of trials, a process that is left."""

    @property
    def num_kills(self) -> int:
        """Of all kinds."""
        return sum(self.kills.values())

    @property
    def violations(self) -> list[str]:
        """All that was not as promised."""
        return [*self.lost, *self.doubled, *self.other]


@dataclass
class Killer:
    """Runs studies in a folder and kills what they run in; the same seed kills in the same order.

    Args:
        folder: An empty one.
        storage: The database of every study, as ``--storage`` takes it.
        seed: Of the victims and moments; the moments themselves are the machine's affair, too.
        victims: Whom to kill.
        undisturbed: What the trials of an undisturbed study have, whatever its storage; None has one run first.
    """

    folder: Path
    storage: str
    seed: int = 0
    victims: Sequence[Victim] = VICTIMS
    undisturbed: Sequence[History] | None = None
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        (self.folder / "tiny.py").write_text(TASK.replace("time.sleep(0.01)", "time.sleep(0.03)"))
        (self.folder / "tiny.yaml").write_text(SPEC)
        self._home = Home(self.folder)
        self._random = random.Random(self.seed)

    def run(self, num_kills: int) -> Ledger:
        """Go on from study to study until so many were killed; the last one ends undisturbed."""
        if self.undisturbed is None:
            self.undisturbed = self.run_undisturbed()
        while self.ledger.num_kills < num_kills:
            self._run_study(f"killed-{self.ledger.num_studies}", num_kills=num_kills)
        return self.ledger

    def run_undisturbed(self) -> Sequence[History]:
        """What its trials have."""
        self._home.run(*self._command("undisturbed"), timeout=_END_SECONDS)
        return self._histories("undisturbed")

    def _run_study(self, name: str, *, num_kills: int) -> None:
        self.ledger.num_studies += 1
        log = self.folder / f"{name}.txt"
        is_over = False
        while not is_over:
            is_to_kill = self.ledger.num_kills < num_kills
            with log.open("a") as output:
                process = psutil.Popen(
                    self._home.command(*self._command(name)),
                    cwd=self.folder,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            family = self._disturb(process, log=log, num_kills=num_kills) if is_to_kill else []
            status = process.wait(timeout=_END_SECONDS)
            self._check_gone(family)
            is_over = status == 0
            if not is_over and not is_to_kill:
                self.ledger.other.append(f"{name}: an undisturbed start ended with status {status}")
                return
        self._check(name, said=log.read_text())

    def _disturb(self, process: psutil.Popen, *, log: Path, num_kills: int) -> list[psutil.Process]:
        """Kill one after the other until the coordinator is gone, the study over or enough killed; all it had started.

        Three times of four the first moment is drawn from the first report on, else from the start on: setting up
        takes most of a short study's time, and would get most of the kills.
        """
        family: dict[int, psutil.Process] = {}
        num_said = log.read_text().count("epoch")
        if self._random.random() < TRAINING_SHARE:
            while process.poll() is None and log.read_text().count("epoch") == num_said:
                time.sleep(0.05)
        while process.poll() is None and self.ledger.num_kills < num_kills:
            time.sleep(self._random.uniform(0.0, 1.5))
            with contextlib.suppress(psutil.Error):
                family |= {each.pid: each for each in process.children(recursive=True)}
                there = {victim: found for victim in self.victims if (found := _find(victim, process)) is not None}
                victim = self._random.choice(list(there))
                there[victim].kill()
                self.ledger.kills[victim] += 1
                if victim in ("coordinator", "fork server"):
                    break
        return list(family.values())

    def _check_gone(self, family: Sequence[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(family, timeout=15.0)
        left = [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        self.ledger.other += [f"still there after 15 s: {each}" for each in left]

    def _check(self, name: str, *, said: str) -> None:
        """Hold what is recorded against what was said, and against the undisturbed study."""
        assert self.undisturbed is not None
        histories, outcomes, reasons = self._histories(name), self._outcomes(name), self._reasons(name)
        if len(histories) != NUM_TRIALS:
            self.ledger.other.append(f"{name}: {len(histories)} trials in place of {NUM_TRIALS}")
        reports, ends = set(_REPORT.findall(said)), set(_OUTCOME.findall(said))
        self.ledger.num_reports += len(reports)
        self.ledger.num_outcomes += len(ends)
        for number, epoch, value in sorted(reports):
            recorded = histories[int(number)][int(epoch) - 1 : int(epoch)]
            if not recorded or f"{recorded[0]['val_accuracy']:.3g}" != f"{float(value):.3g}":
                self.ledger.lost.append(f"{name}: trial {number}, epoch {epoch}: {value} was said, {recorded} recorded")
        for number, outcome in sorted(ends):
            if outcomes[int(number)] != outcome:
                self.ledger.lost.append(f"{name}: trial {number} was {outcome}, and is {outcomes[int(number)]}")
        for number, history in enumerate(histories):
            was_given_up = MOST_RESTARTS_REASON in (reasons[number] or "")
            expected = self.undisturbed[number]
            if (history != expected[: len(history)]) or (len(history) < len(expected) and not was_given_up):
                self.ledger.other.append(f"{name}: trial {number}: {reasons[number]}: {history} in place of {expected}")

    def _command(self, name: str) -> tuple[str, ...]:
        return ("study", "start", "tiny.yaml", "--name", name, "--storage", self.storage, "--no-progress")

    def _histories(self, name: str) -> list[History]:
        """By trial; an epoch that is missing or there twice is a violation by itself."""
        with contextlib.closing(_Opened(self.storage)) as opened:
            study = opened.records.study(name)
            histories = []
            for row in opened.records.trials(study):
                reports = [recorded.report for recorded in opened.records.reports(row)]
                epochs = [report.epoch for report in reports]
                if epochs != list(range(1, len(epochs) + 1)):
                    self.ledger.doubled.append(f"{name}: trial {row.number} has the epochs {epochs}")
                histories.append([dict(report.metrics) for report in reports])
        return histories

    def _outcomes(self, name: str) -> list[str]:
        with contextlib.closing(_Opened(self.storage)) as opened:
            rows = opened.records.trials(opened.records.study(name))
        return [(row.outcome or Outcome.INTERRUPTED).value for row in rows]

    def _reasons(self, name: str) -> list[str | None]:
        with contextlib.closing(_Opened(self.storage)) as opened:
            return [row.reason for row in opened.records.trials(opened.records.study(name))]

    def check_tracker(self, name: str) -> None:
        """One run a trial in MLflow, and none that runs still."""
        runs = runs_of(self.folder, name)
        if sorted(runs) != list(range(NUM_TRIALS)):
            self.ledger.other.append(f"{name}: MLflow has the trials {sorted(runs)}")


class _Opened:
    def __init__(self, storage: str) -> None:
        self.records = Records(open_database(storage, create=False))

    def close(self) -> None:
        self.records.engine.dispose()


def _find(victim: Victim, coordinator: psutil.Process) -> psutil.Process | None:
    """A process of this kind that is there now."""
    if victim == "coordinator":
        return coordinator
    servers = [each for each in coordinator.children() if "autotune.trial.fork_server" in each.cmdline()]
    if not servers:
        return None
    if victim == "fork server":
        return servers[0]
    trials = servers[0].children()
    below = trials if victim == "trial" else [worker for trial in trials for worker in trial.children()]
    return below[0] if below else None
