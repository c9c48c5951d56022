"""Long campaigns of injected faults, each with a seed and a ledger of what was acknowledged: ``make faults``.

    python -m tests.faults.campaigns [--campaigns sqlite checkpoints ...] [--kills N] [--seed 0]

``sqlite`` and ``postgresql`` kill processes at random moments; ``checkpoints`` kills trials around the write of a
checkpoint, at every step of it and then at random moments; ``signals`` stops studies by SIGINT and SIGTERM at random
moments, while a witness looks for MLflow runs that are FINISHED too early; ``writes`` lets the n-th write of a short
study fail, and kills its coordinator before the n-th transaction, for every n; ``commits`` cuts off the n-th commit of
a study on PostgreSQL, for every n; ``interleavings`` makes up so many studies with events in any order. Prints what was
killed, what had been acknowledged, and what was lost or doubled; where nothing was, the bound that so many kills
give on the chance of a loss at one (one-sided, 95 %, exact: 1 - 0.05 ** (1 / n)). Ends with 1 where anything was
not as promised. Short, seeded slices of all of them are part of ``make test``.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.figures import header
from tests.faults.checkpoint_killing import kill_writers
from tests.faults.every_write import FAULTS, inject_everywhere
from tests.faults.killing import Killer, Ledger
from tests.faults.lost_commits import MOMENTS, cut_off_everywhere
from tests.faults.signalling import signal_study
from tests.postgres import running_server
from tests.properties.test_study_survives import run_interleavings

NUM_KILLS = {"checkpoints": 200, "signals": 60}
"""Of a campaign, where it differs from ``DEFAULT_KILLS``."""
DEFAULT_KILLS = 500
_SIGNALS_A_STUDY = 3
KILLS_A_LOOK = 5
"""Kills between two lines of progress."""


def bound(num_kills: int) -> float:
    """The chance of a loss at one kill is below this, with a confidence of 95 %, when none was seen at so many."""
    return float(1 - 0.05 ** (1 / num_kills))


@contextmanager
def sqlite() -> Iterator[str]:
    """A SQLite file in a folder of its own, on the disk."""
    with tempfile.TemporaryDirectory(prefix="autotune-campaign-", dir="/var/tmp") as folder:
        yield f"sqlite:///{folder}/autotune.db"


@contextmanager
def postgresql() -> Iterator[str]:
    """A database of a PostgreSQL server of its own."""
    with running_server(has_locks=True) as server:
        yield server.get_uri()


STORAGES: dict[str, Callable[[], AbstractContextManager[str]]] = {"sqlite": sqlite, "postgresql": postgresql}


def kill_over(storage: str, *, num_kills: int, seed: int) -> Ledger:
    """Kill coordinators, fork servers, trials and loader workers until so many were killed."""
    with tempfile.TemporaryDirectory(prefix="autotune-campaign-", dir="/var/tmp") as folder:
        killer = Killer(Path(folder), storage=storage, seed=seed)
        began = time.monotonic()
        while killer.ledger.num_kills < num_kills:
            killer.run(min(num_kills, killer.ledger.num_kills + KILLS_A_LOOK))
            print(f"{time.monotonic() - began:.0f} s: {describe(killer.ledger)}", file=sys.stderr, flush=True)
        return killer.ledger


def describe(ledger: Ledger) -> str:
    """What was killed, said, lost and doubled, in one line."""
    kills = ", ".join(f"{count} {victim}s" for victim, count in sorted(ledger.kills.items()))
    said = (
        f"{ledger.num_reports} reports and {ledger.num_outcomes} outcomes acknowledged in {ledger.num_studies} studies"
    )
    found = f"{len(ledger.lost)} lost, {len(ledger.doubled)} doubled, {len(ledger.other)} other"
    limit = "" if ledger.violations else f"; below {bound(ledger.num_kills):.2%} a kill"
    return f"{ledger.num_kills} kills ({kills}); {said}; {found}{limit}"


def fail_everywhere(**_: int) -> int:
    """Every write in turn; the number of violations."""
    num_violations = 0
    for fault in FAULTS:
        outcome = inject_everywhere(fault)
        print(f"writes: {fault}: {outcome.num_faults} places in turn; {len(outcome.violations)} violations", flush=True)
        for violation in outcome.violations:
            print(f"  {violation}")
        num_violations += len(outcome.violations)
    return num_violations


def interleave(*, num_kills: int, seed: int) -> int:
    """So many studies with events in any order; the first violation is raised, with the events that led to it."""
    with tempfile.TemporaryDirectory(prefix="autotune-interleavings-") as folder:
        run_interleavings(Path(folder), count=num_kills, seed=seed)
    print(f"interleavings: {num_kills} studies, 0 violations; below {bound(num_kills):.2%} a study", flush=True)
    return 0


def cut_off_commits(**_: int) -> int:
    """Every commit of a study on PostgreSQL in turn; the number of violations."""
    num_violations = 0
    with postgresql() as storage:
        for moment in MOMENTS:
            num_places, violations = cut_off_everywhere(storage, moment=moment)
            print(
                f"commits: cut off {moment} it is done: {num_places} in turn; {len(violations)} violations", flush=True
            )
            for violation in violations:
                print(f"  {violation}")
            num_violations += len(violations)
    return num_violations


def kill_checkpoints(*, num_kills: int, seed: int) -> int:
    """At every step of a checkpoint's write, then so many at random moments; the number of violations."""
    with tempfile.TemporaryDirectory(prefix="autotune-checkpoints-", dir="/var/tmp") as folder:
        ledger = kill_writers(Path(folder), num_kills=num_kills, seed=seed, has_steps=True)
    found = f"{len(ledger.violations)} violations"
    limit = "" if ledger.violations else f"; below {bound(ledger.num_kills):.2%} a kill"
    print(
        f"checkpoints: {ledger.num_kills} kills ({ledger.num_inside} left a half-written file), "
        f"{ledger.num_acknowledged} epochs acknowledged in {ledger.num_trials} trials; {found}{limit}",
        flush=True,
    )
    for violation in ledger.violations:
        print(f"  {violation}")
    return len(ledger.violations)


def stop_studies(*, num_kills: int, seed: int) -> int:
    """So many signals, three a study; the number of violations."""
    found: list[str] = []
    statuses: list[int] = []
    for number in range(-(-num_kills // _SIGNALS_A_STUDY)):
        with tempfile.TemporaryDirectory(prefix="autotune-signals-", dir="/var/tmp") as folder:
            signalled = signal_study(Path(folder), num_signals=_SIGNALS_A_STUDY, seed=seed * 1000 + number)
        statuses += signalled.statuses
        found += [f"study {number}: {violation}" for violation in signalled.violations]
    limit = "" if found else f"; below {bound(len(statuses)):.2%} a signal"
    print(
        f"signals: {len(statuses)} signals ({statuses.count(0)} came when the study had ended), {len(found)} violations"
        f"{limit}",
        flush=True,
    )
    for violation in found:
        print(f"  {violation}")
    return len(found)


OTHERS: dict[str, Callable[..., int]] = {
    "checkpoints": kill_checkpoints,
    "signals": stop_studies,
    "writes": fail_everywhere,
    "interleavings": interleave,
    "commits": cut_off_commits,
}
"""Campaigns on trials alone, and on studies whose trials train in no time."""


def main() -> int:
    """Run the campaigns that were asked for; 1 where one found a violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = (*STORAGES, *OTHERS)
    parser.add_argument("--campaigns", nargs="+", choices=known, default=list(known))
    parser.add_argument("--kills", type=int, help="of each campaign, 500 or 200 unless given; studies of interleavings")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(header("optuna", "sqlalchemy", "mlflow"))
    num_violations = 0
    for name in arguments.campaigns:
        num_kills = arguments.kills or NUM_KILLS.get(name, DEFAULT_KILLS)
        if name in OTHERS:
            num_violations += OTHERS[name](num_kills=num_kills, seed=arguments.seed)
            continue
        with STORAGES[name]() as storage:
            ledger = kill_over(storage, num_kills=num_kills, seed=arguments.seed)
        print(f"{name}: {describe(ledger)}", flush=True)
        for violation in ledger.violations:
            print(f"  {violation}")
        num_violations += len(ledger.violations)
    return 1 if num_violations else 0


if __name__ == "__main__":
    sys.exit(main())
