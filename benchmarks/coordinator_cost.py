"""The coordinator's own CPU seconds per trial and per report, at 100 and at 1,000 trials in the study.

The mnist study's space, sampler and pruner; what a trial would report is made up. All that a
coordinator does for a trial in the databases is done here in the same order: ask, record, start,
report and record, ask the pruner, end and tell. MLflow's publisher and the trial's process are
not in it. CPU seconds are those of this process, as medians over the trials before each mark.

    python benchmarks/coordinator_cost.py [--marks 100 1000] [--window 50] [--sampler tpe]
"""

import argparse
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from autotune.events import EpochReport, Finished, Outcome, Scalar, Started
from autotune.hardware import Machine, ask_machine
from autotune.recording.database import configure_engine, creation_lock, open_database
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.search.plan import SearchPlan
from autotune.search.proposals import Proposal
from autotune.search.resolve import resolve_space
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.load import SpecFile, load_spec
from benchmarks.figures import header

_NAME = "cost"
_HEADER = " trials  trial ms   = ask   tell  records  report ms  = search  records"


class Meter:
    """CPU seconds by part of the work, of the trial at hand and of all before it."""

    def __init__(self) -> None:
        self._trials: list[dict[str, float]] = []
        self._num_reports: list[int] = []
        self._current: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def count(self, part: str) -> Iterator[None]:
        """Adds what the block takes to a part."""
        start = time.process_time()
        yield
        self._current[part] += time.process_time() - start

    def end_trial(self, num_reports: int) -> None:
        """The next counts belong to the next trial."""
        self._trials.append(dict(self._current))
        self._num_reports.append(num_reports)
        self._current.clear()

    def median_milliseconds(self, parts: Sequence[str], *, window: int, is_per_report: bool) -> float:
        """Of the last trials, the parts together."""
        costs = [
            sum(trial.get(part, 0.0) for part in parts) / (num_reports if is_per_report else 1)
            for trial, num_reports in zip(self._trials[-window:], self._num_reports[-window:], strict=True)
        ]
        return 1000 * statistics.median(costs)


class Coordinator:
    """A study on a fresh database, driven as the real coordinator drives it."""

    def __init__(self, folder: str, *, file: SpecFile, machine: Machine) -> None:
        url = f"sqlite:///{folder}/cost.db"
        spec = file.spec
        self._epochs = spec.budget.epochs
        self._records = Records(open_database(url, create=True))
        with creation_lock(url):
            storage = open_storage(url, configure_engine=configure_engine)
        plan = SearchPlan(
            space=resolve_space(file, machine=machine, num_cores=machine.num_cores),
            objectives=spec.objectives,
            sampler=spec.sampler,
            pruner=spec.pruner,
            max_resource=self._epochs,
            seed=spec.seed,
        )
        self._search = Search.create(_NAME, storage=storage, plan=plan)
        new = NewStudy(name=_NAME, task=spec.task, spec_text=file.text, spec_json="{}", seed=spec.seed)
        self._study: StudyRow = self._records.create_study(new)
        self._environment_id = self._records.add_environment(machine)
        self.meter = Meter()

    def run_trial(self) -> None:
        """One trial, from the question what it should be to the word how it ended."""
        count = self.meter.count
        with count("ask"):
            proposal = self._search.ask()
        assert proposal is not None
        new = NewTrial(number=proposal.number, parameters=proposal.parameters, seed=1, optuna_id=proposal.optuna_id)
        with count("record"):
            row = self._records.add_trial(self._study, new=new)
            self._records.launch_trial(row, pid=1, device="cpu", environment_id=self._environment_id, git_commit=None)
            self._records.start_trial(row, started=Started(in_force={}, device="cpu", setup_seconds=0.1))
        is_pruned = False
        report = _report(proposal, epoch=1)
        for epoch in range(1, self._epochs + 1):
            report = _report(proposal, epoch=epoch)
            with count("record reports"):
                self._records.add_report(row, report=report)
            with count("report"):
                self._search.report(proposal.number, step=epoch, value=report.metrics["val_accuracy"])
            with count("prune"):
                is_pruned = epoch < self._epochs and self._search.should_prune(proposal.number)
            if is_pruned:
                break
        self._end(proposal, row_number=row.number, report=report, is_pruned=is_pruned)

    def _end(self, proposal: Proposal, *, row_number: int, report: EpochReport, is_pruned: bool) -> None:
        outcome = Outcome.PRUNED if is_pruned else Outcome.COMPLETE
        values = None if is_pruned else (report.metrics["val_accuracy"],)
        row = self._records.trial(self._study, number=row_number)
        with self.meter.count("record"):
            self._records.finish_trial(row, finished=Finished(outcome=outcome), values=values)
        with self.meter.count("tell"):
            self._search.tell(proposal.number, outcome=outcome, values=values, reason=None)
        self.meter.end_trial(report.epoch)


def main() -> None:
    """Prints CPU milliseconds per trial and per report, with the machine and the versions."""
    arguments = _arguments()
    file = load_spec("mnist", overrides=[f"sampler={arguments.sampler}"])
    machine = ask_machine()
    print(header("optuna", "sqlalchemy"))
    with tempfile.TemporaryDirectory() as folder:
        coordinator = Coordinator(folder, file=file, machine=machine)
        print(_HEADER)
        done = 0
        for mark in arguments.marks:
            while done < mark:
                coordinator.run_trial()
                done += 1
            print(_row(coordinator.meter, mark=mark, window=arguments.window))
    print(f"medians of the {arguments.window} trials before each mark, 1 run; sampler {arguments.sampler}")


def _row(meter: Meter, *, mark: int, window: int) -> str:
    def trial(*parts: str) -> float:
        return meter.median_milliseconds(parts, window=window, is_per_report=False)

    def report(*parts: str) -> float:
        return meter.median_milliseconds(parts, window=window, is_per_report=True)

    whole = trial("ask", "tell", "record")
    each = report("report", "prune", "record reports")
    return (
        f"{mark:7d} {whole:9.1f} {trial('ask'):7.1f} {trial('tell'):6.1f} {trial('record'):8.1f} "
        f"{each:10.2f} {report('report', 'prune'):9.2f} {report('record reports'):8.2f}"
    )


def _report(proposal: Proposal, *, epoch: int) -> EpochReport:
    accuracy = _quality(proposal.parameters) * (1 - math.exp(-epoch / 2))
    return EpochReport(
        epoch=epoch,
        step=63 * epoch,
        metrics={"train_loss": 1 - accuracy, "val_loss": 1 - accuracy, "val_accuracy": accuracy},
        lr=1e-3,
        samples=4000,
        seconds=1.0,
        samples_per_second=4000.0,
        data_wait_share=0.1,
        peak_memory_bytes=2**28,
        at=1_700_000_000.0 + epoch,
    )


def _quality(parameters: Mapping[str, Scalar]) -> float:
    """Between 0 and 1, best at a learning rate of 0.01 with many channels."""
    lr, width = parameters.get("lr", 1e-3), parameters.get("width", 16)
    assert isinstance(lr, float)
    assert isinstance(width, int)
    return (0.6 + width / 80) / (1 + 0.2 * (math.log10(lr) + 2) ** 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--marks", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--sampler", default="tpe")
    return parser.parse_args()


if __name__ == "__main__":
    main()
