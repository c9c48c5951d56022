"""The confirmation of a setting, against the baseline or an informed guess, on fresh contestants."""

from collections.abc import Callable, Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import difference
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.comparison import Comparison
from autotune.speed.racing.heats.finish import finish_words, guess_words
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.meeting import HeatTime
from autotune.speed.racing.heats.records import Clock, Heats
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.result import HeatStage


class Confirming:
    """Compares the setting to beat with another one, as sure as a race can, and records it.

    Args:
        incumbency: Has the setting to beat.
        heats: Where confirmations are recorded.
        time: The time that the race has for them.
        on_begin: Hears of each before it is run: its stage, and what it is shown by.
        clock: Gives seconds of the race.
    """

    def __init__(
        self,
        incumbency: Incumbency,
        *,
        heats: Heats,
        time: HeatTime,
        on_begin: Callable[[HeatStage, Mapping[str, Scalar]], None],
        clock: Clock,
    ) -> None:
        self._incumbency = incumbency
        self._heats = heats
        self._time = time
        self._on_begin = on_begin
        self._clock = clock

    def compare(
        self,
        stage: HeatStage,
        against: Mapping[str, Scalar],
        *,
        changes: Mapping[str, Scalar],
        setting: Mapping[str, Scalar] | None = None,
        is_needed: bool = True,
        restate: Callable[[SharedContestant], None] | None = None,
    ) -> Comparison | None:
        """Compare the incumbent's setting with another one, both on fresh contestants and with more blocks.

        None where one of the two can't be trained with; the incumbent is retired then. None, too, where nothing was
        compared: the other one is no other setting, or no time is left to take turns with it. Both are recorded.

        Args:
            stage: The part of the race.
            against: The other setting.
            changes: What the heat is shown by.
            setting: What the incumbent is to have, where that is another one; None for its own.
            is_needed: The race has no winner without it; else it is passed over where it would end too late.
            restate: Lets the other contestant be known by what of its setting is in force, and the heat by that. Where
                it is the baseline's or the incumbent's setting then, nothing is compared, and None is returned. None
                leaves the other setting as it is.
        """
        began, incumbency = self._clock(), self._incumbency
        self._on_begin(stage, changes)
        setting = dict(incumbency.setting if setting is None else setting)
        incumbency.holder.retire()
        other: SharedContestant | None = None
        try:
            other = opponent = incumbency.arena.enter(dict(against))
            if restate is not None:
                restate(opponent)
                if (same := self._why_same(opponent, setting)) is not None:
                    self._heats.skipped(stage, opponent.setting, changes=changes, reason=same)
                    return None
                changes = difference(incumbency.baseline.setting, opponent.setting)
            incumbency.pass_to(incumbency.arena.enter(setting))
            comparison = incumbency.meet(
                incumbency.holder,
                lambda way: way.confirm(opponent, incumbency.holder, time=self._time, is_needed=is_needed),
                holder=opponent,
            )
        except ContestantLostError as error:
            is_other = other is None or other.is_retired
            self._heats.lost(stage, against if is_other else setting, error, changes=changes, began=began)
            incumbency.holder.retire()
            return None
        finally:
            if other is not None:
                other.retire()
        if comparison is None:
            reason = "no room for the two side by side, and no time to take turns"
            self._heats.skipped(stage, incumbency.setting, changes=changes, reason=reason)
            return None
        self._record(stage, comparison, changes=changes, began=began)
        return comparison

    def _record(self, stage: HeatStage, comparison: Comparison, *, changes: Mapping[str, Scalar], began: float) -> None:
        """Record what the incumbent's confirmation came to."""
        is_guess_met = stage == "informed"
        # Beside a guess the winner is not on trial: it stays unless the guess is surely faster.
        is_kept = comparison.verdict == "faster" or (is_guess_met and comparison.verdict == "tie")
        self._heats.over(
            stage,
            self._incumbency.holder,
            changes=changes,
            verdict="kept" if is_kept else "rejected",
            reason=guess_words(comparison) if is_guess_met else finish_words(comparison),
            began=began,
            seen=comparison,
            is_in_turns=comparison.is_in_turns,
        )

    def _why_same(self, guess: SharedContestant, setting: Mapping[str, Scalar]) -> str | None:
        """Why a guess, known by what of it is in force, need not be compared with this setting; None where it need."""
        if guess.setting == self._incumbency.baseline.setting:
            return "nothing of it takes hold here"
        return "what of it takes hold here is the winner itself" if guess.setting == setting else None
