"""What becomes of a trial whose process has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from autotune.coordinator.exits import MAX_RESTARTS, give_up
from autotune.events import Finished, Outcome, Scalar


@dataclass(frozen=True)
class Wait:
    """Others hold memory that it needs: it goes on once they hold less."""


@dataclass(frozen=True)
class Restart:
    """Another process goes on from its last checkpoint, at once."""


@dataclass(frozen=True)
class Fallback:
    """It begins anew with the baseline's speed parameters: those of a race may be what it can't be trained with."""

    parameters: Mapping[str, Scalar]
    """All that it trains with then."""


@dataclass(frozen=True)
class End:
    """Nothing follows in this start: it has ended, or the study stops and its next start goes on with it."""

    finished: Finished


Aftermath: TypeAlias = Wait | Restart | Fallback | End


def decide_aftermath(
    finished: Finished, *, restarts: int, fallback: Mapping[str, Scalar] | None, is_stopping: bool
) -> Aftermath:
    """What is to be done about a trial whose process has ended; nothing is done yet.

    Args:
        finished: How it ended, as its process or the end of that tells.
        restarts: How often it was restarted in this start of the study.
        fallback: Its parameters with the baseline's speed parameters, where those of a race may have made it
            infeasible; None where it ended otherwise, or there is nothing to fall back to.
        is_stopping: A person has asked the study to stop: no trial goes on in this start.
    """
    if finished.is_crowded and not is_stopping:
        return Wait()
    if finished.outcome is Outcome.INTERRUPTED and not is_stopping:
        return Restart() if restarts < MAX_RESTARTS else End(give_up(finished))
    return End(finished) if fallback is None else Fallback(fallback)
