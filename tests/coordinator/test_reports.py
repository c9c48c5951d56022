"""What a pruner is told of the reports that a ledger records."""

from pathlib import Path

from autotune.coordinator.ledger import Ledger
from autotune.spec.load import parse_spec
from autotune.trial.leases import DevicePool
from benchmarks.simulated import simulated_ledger
from tests.machines import machine
from tests.reports import make_report

SPEC = """
task: package.module:Task
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 3, resource: seconds, per_trial: 27}
pruner: {successive_halving: {min_seconds: 1, reduction_factor: 4}}
learning: {lr: {low: 1e-3, high: 1e-1, log: true}}
speed_search: fixed
baseline: {lr: 1e-2}
"""


def train(ledger: Ledger, curve: dict[float, float]) -> list[bool]:
    """The next trial, with its accuracy by the seconds that it has trained; whether each report stops it."""
    ticket = ledger.ask()
    assert ticket is not None
    ledger.record_launch(ticket, pid=1, device="cpu")
    reports = [
        make_report(epoch, metrics={"val_accuracy": accuracy}, trained_seconds=seconds)
        for epoch, (seconds, accuracy) in enumerate(curve.items(), start=1)
    ]
    answers = [answer for report in reports for answer in ledger.record_reports([(ticket, report)])]
    return [answer.reason_to_stop is not None for answer in answers]


def test_trial_is_held_against_those_that_passed_a_rung_with_their_last_report(tmp_path: Path) -> None:
    """Their last report never came to the pruner, so that the rung at 16 seconds was empty."""
    file, pool = parse_spec(SPEC, origin="study.yaml"), DevicePool(["cpu"], cores=(), jobs=1)
    storage = f"sqlite:///{tmp_path / 'autotune.db'}"
    with simulated_ledger(file, storage=storage, machine=machine(), pool=pool) as ledger:
        assert train(ledger, {8.0: 0.8, 40.0: 0.9}) == [False, False]
        assert train(ledger, {8.0: 0.85, 17.0: 0.1}) == [False, True]
        assert train(ledger, {8.0: 0.85, 28.0: 0.1}) == [False, False], "a trial that is over is not stopped"
