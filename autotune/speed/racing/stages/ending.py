"""The end of a race: its winner proven on fresh contestants, against the baseline and against an informed guess.

A small gain is asked of two pairs of them: one pair may differ by as much for as long as it lives.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.speed.knobs.entries import apply, difference, meaningful
from autotune.speed.measuring.comparison import LOUD_NOISE, Comparison
from autotune.speed.measuring.measurement import Measurement, measure, measured
from autotune.speed.racing.heats.confirming import Confirming
from autotune.speed.racing.heats.records import gain_of
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import LAST_BLOCKS, RaceTime
from autotune.speed.racing.result import Gain
from autotune.speed.racing.stages.first_sight import FirstSight
from autotune.speed.racing.stages.precision import LossJudge, shortened


@dataclass(frozen=True)
class Proven:
    """What was proven of the setting to beat, which is the winner now."""

    figures: Measurement
    """The winner's throughput, and what its steps spend their time on."""
    gain: Gain | None
    """The winner's gain over the baseline; None where it is the baseline."""
    informed: dict[str, Scalar] | None
    """The informed setting, known by what of it is in force if it was started; None where there is none."""
    informed_gain: Gain | None
    """The winner's gain over the informed setting; None where that was not met, or is the winner."""
    guess_refusal: str | None
    """Why the informed setting is not the winner, though it was faster; None where it was not, or is the winner."""


@dataclass(frozen=True)
class _Proof:
    """The confirmation of a setting over another one, such as the baseline."""

    setting: dict[str, Scalar]
    against: dict[str, Scalar]
    comparison: Comparison


class Ending:
    """Confirms what a search has come to; a winner that can't be proven is none.

    Args:
        track: Has the setting to beat.
        plan: Has the baseline and the informed setting.
        confirming: Compares the winner with each of them.
        judge: Has judged the loss of fewer digits, or not.
        first_sight: Knows what was adopted without a proof.
        time: The race's.
    """

    def __init__(
        self,
        track: Track,
        plan: RacePlan,
        *,
        confirming: Confirming,
        judge: LossJudge,
        first_sight: FirstSight,
        time: RaceTime,
    ) -> None:
        self._track = track
        self._plan = plan
        self._confirming = confirming
        self._judge = judge
        self._first_sight = first_sight
        self._time = time
        self._informed = dict(plan.informed) if plan.informed is not None else None
        self._guess: SharedContestant | None = None
        """The contestant that had the informed setting when that was met."""
        self._guess_refusal: str | None = None
        self._proof: _Proof | None = None
        """The last confirmation that came to its end."""

    def prove(self) -> Proven:
        """Confirm the winner, let it meet the informed setting, and say what was proven.

        Raises:
            ContestantLostError: Nothing can be trained with any more.
        """
        plan, track = self._plan, self._track
        self._time.begin_ending()
        gain = informed_gain = None
        if track.setting != dict(plan.baseline):
            gain = self._confirm()
        figures = self._figures()
        if (
            self._informed is not None
            and self._informed not in (track.setting, plan.baseline)
            and self._time.has_room_to_meet_a_guess
        ):
            changes = difference(plan.baseline, self._informed)
            comparison = self._confirming.compare(
                "informed", self._informed, changes=changes, is_needed=False, restate=self._know_guess_by_what_holds
            )
            informed_gain = gain_of(comparison) if comparison else None
            if comparison is not None and comparison.verdict == "slower":
                taken = self._take_informed(self._informed, comparison)
                if taken is not None:
                    gain, informed_gain, figures = taken, None, self._figures()
        return Proven(
            figures,
            gain=gain,
            informed=self._informed,
            informed_gain=informed_gain,
            guess_refusal=self._guess_refusal,
        )

    def _figures(self) -> Measurement:
        """The winner's figures: those of its confirmation, or where it needed none, fresh ones.

        Where fresh ones would cost a start, they are those of the last blocks that it trained.
        """
        winner, proof = self._track.incumbent, self._proof
        if proof is not None and winner.setting in (proof.setting, proof.against):
            is_winner = winner.setting == proof.setting
            return measured(proof.comparison.blocks_b if is_winner else proof.comparison.blocks_a, winner.warmed)
        if winner.last_blocks and (not winner.is_present or not self._time.has_room_for_a_last_look):
            return measured(tuple(winner.last_blocks), winner.warmed)
        pace = self._plan.pace
        return measure(winner, blocks=LAST_BLOCKS, seconds=pace.block_seconds, min_steps=pace.min_steps)

    def _confirm(self) -> Gain | None:
        """The winner's gain on fresh contestants; where it is none, the baseline wins and None is returned.

        What was adopted at first sight is not proven, and may have been a moment of the machine's: where the
        whole fails, what was screened is tried without it.
        """
        gain = self._gain_of(self._track.setting)
        proven = self._first_sight.without(self._track.setting)
        if gain is None and proven not in (self._track.setting, self._plan.baseline) and self._time.has_room_to_confirm:
            gain = self._gain_of(proven)
        if gain is None:
            self._track.reinstate_baseline()
        return gain

    def _take_informed(self, informed: dict[str, Scalar], comparison: Comparison) -> Gain | None:
        """Make the informed setting the winner, which it has beaten on fresh contestants; its gain over the baseline.

        A screening in noise may well pass over what the informed setting is better by. None where that stays a guess:
        its digits are fewer, and its loss was not judged or not kept, or no time is left, or it is not surely faster
        than the baseline.

        Args:
            informed: The informed setting.
            comparison: The winner over the informed setting, which is faster.
        """
        plan, winner, winners = self._plan, self._track.setting, gain_of(comparison)
        if fewer := shortened(informed, baseline=plan.baseline, entries=plan.entries):
            is_judged = self._judge.has_judged(informed)
            word = self._judge.word_against(informed) if is_judged else "its loss was not judged"
            if word is not None:
                self._guess_refusal = f"it computes with fewer digits ({', '.join(fewer)}), and {word}"
                return None
        if winner == plan.baseline and winners.ratio * (1 + LOUD_NOISE) < 1:
            assert self._guess is not None, "it was met"
            self._track.incumbency.pass_to(self._guess)  # of which no more is asked: it needs no other start
            self._proof = _Proof(winner, informed, comparison)
            turned = {"ratio": 1 / winners.ratio, "low": 1 / winners.high, "high": 1 / winners.low}
            return winners.model_copy(update=turned)
        if not self._time.has_room_to_confirm:
            self._guess_refusal = "no time was left to confirm it against the baseline"
            return None
        proven = self._track.incumbent
        gain = self._gain_of(informed, is_needed=False)
        if gain is None:
            beside = "beside the baseline it was not surely faster"
            self._guess_refusal = beside if self._proof is not None else self._track.heats.all[-1].reason
            self._track.incumbency.pass_to(proven)
        return gain

    def _know_guess_by_what_holds(self, guess: SharedContestant) -> None:
        """Let the informed setting be known by what of it is in force: the rest does nothing, whoever sets it."""
        self._guess = guess
        baseline, in_force = self._plan.baseline, guess.warmed.in_force
        idle = {name for name, value in guess.setting.items() if in_force.get(name, value) != value}
        held = apply(guess.setting, {name: baseline.get(name) for name in idle})
        self._informed = meaningful(held, entries=self._plan.entries)
        guess.restate(self._informed)

    def _gain_of(self, setting: Mapping[str, Scalar], *, is_needed: bool = True) -> Gain | None:
        """The setting's gain over the baseline, if it is sure; a small one is the lesser of two, on two fresh pairs.

        Two processes of one setting differ by a per cent or two for as long as they live, which no interval of one
        pair tells. Where there is no time for a second pair, the noise floor alone speaks against it.
        """
        comparison = self._met(setting, is_needed=is_needed)
        is_small = comparison is not None and comparison.ratio <= 1 + LOUD_NOISE and not comparison.is_in_turns
        if comparison is not None and comparison.verdict == "faster" and is_small and self._time.has_room_for_a_pair:
            again = self._met(setting)
            comparison = min(comparison, again, key=lambda each: each.ratio) if again is not None else None
        return gain_of(comparison) if comparison is not None and comparison.verdict == "faster" else None

    def _met(self, setting: Mapping[str, Scalar], *, is_needed: bool = True) -> Comparison | None:
        """Compare the setting with the baseline on fresh contestants; None where one can't be trained with.

        None, too, where that would end too late and is not needed.
        """
        baseline = self._plan.baseline
        changes = difference(baseline, setting)
        comparison = self._confirming.compare(
            "confirm", baseline, changes=changes, setting=setting, is_needed=is_needed
        )
        self._proof = _Proof(dict(setting), dict(baseline), comparison) if comparison is not None else None
        return comparison
