from collections.abc import Mapping, Sequence

from autotune.events import Finished, Outcome, Scalar
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.spec.model import Budget, Choice, Objective, StudySpec
from tests.reports import make_report

MAXIMIZE = (Objective(metric="val_accuracy", direction="maximize"),)


def make_spec(objectives: Sequence[Objective] = MAXIMIZE, *, budget: Budget | None = None) -> StudySpec:
    return StudySpec(
        task="autotune.tasks.digits:Digits",
        objectives=tuple(objectives),
        budget=budget or Budget(trials=4, seconds=60, epochs=2),
        sampler=Choice(name="random"),
        pruner=Choice(name="none"),
        learning={"lr": 0.1},
        speed={},
        baseline={"lr": 0.1},
    )


class StudyBook:
    """A study that is written into a real database, trial by trial."""

    def __init__(self, storage: str, *, name: str = "digits", spec: StudySpec | None = None) -> None:
        self.storage = storage
        self.records = Records(open_database(storage, create=True))
        self.spec = spec or make_spec()
        new = NewStudy(name=name, task=self.spec.task, spec_text="", spec_json=self.spec.model_dump_json(), seed=0)
        self.row: StudyRow = self.records.create_study(new)

    def add(
        self,
        number: int,
        *,
        outcome: Outcome | None = Outcome.COMPLETE,
        epochs: Sequence[Mapping[str, float]] = (),
        seconds: Sequence[float] = (4.0, 2.0),
        parameters: Mapping[str, Scalar] | None = None,
        reason: str | None = None,
        traceback: str | None = None,
        environment_id: int | None = None,
    ) -> None:
        new = NewTrial(number=number, parameters=parameters or {"lr": 0.1}, seed=number, is_baseline=number == 0)
        trial = self.records.add_trial(self.row, new=new)
        self.records.launch_trial(trial, pid=1, device="cpu", environment_id=environment_id, git_commit=None)
        for epoch, metrics in enumerate(epochs, start=1):
            took = seconds[epoch - 1]
            report = make_report(
                epoch,
                metrics=dict(metrics),
                samples=1000,
                seconds=took,
                evaluation_seconds=0.5,
                samples_per_second=1000 / took,
            )
            self.records.add_report(trial, report=report)
        if outcome is None:
            return
        is_complete = outcome is Outcome.COMPLETE
        values = [epochs[-1][objective.metric] for objective in self.spec.objectives] if is_complete else None
        self.records.finish_trial(
            trial, finished=Finished(outcome=outcome, reason=reason, traceback=traceback), values=values
        )
