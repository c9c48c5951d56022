"""What a race found, as it is stored and read again; ``words.py`` says it in words."""

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, computed_field

from autotune.events import Block, Scalar
from autotune.figures import tells_nothing
from autotune.shortages import Shortage
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.measuring.statistics import Range, range_of

HeatStage: TypeAlias = Literal["start", "screen", "stack", "precision", "compile", "simplify", "confirm", "informed"]
"""The part of a race that a heat belongs to."""

Verdict: TypeAlias = Literal["kept", "rejected", "infeasible", "skipped"]
"""What came of a heat; one that was infeasible could not be trained with, one that was skipped was passed over."""


VAGUE_SPAN = 2.0
"""An interval whose greatest is more than so many times its least does not tell a gain from its double. Two contestants
of one setting differ by less than a tenth on busy cores, so that a median of many alternating quads is never so vague
by itself: the quads were few, or other programs took the cores from some of them."""
_LOUD = 0.2
"""A noise floor above this hides gains of a fifth, which are worth having: that nothing was found beside it says
nothing of a quieter hour."""
_ON_TIME = 1.05
"""A race that took no more than so many times its seconds counts as on time."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gain(_Part):
    """Throughput of one setting over another's, with its interval."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # what is computed is written, too

    ratio: float
    """Throughput over throughput: above 1, the first setting is faster."""
    low: float
    """Near end of the ratio's interval."""
    high: float
    """Far end of the ratio's interval."""
    num_quads: int
    """Quads of blocks that were compared."""
    is_in_turns: bool = False
    """The two had no room side by side: they held the device one at a time, started anew for each turn."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def is_vague(self) -> bool:
        """The interval is so wide that it says which is faster at most, and not by how much."""
        return self.high > VAGUE_SPAN * self.low

    @property
    def tells_nothing(self) -> bool:
        """The interval is so wide that it does not even say which is faster."""
        return tells_nothing(low=self.low, high=self.high)


class Surroundings(_Part):
    """What was around while blocks were measured."""

    allocator_retries: int
    """How often CUDA's allocator had to free its cache."""
    recompilations: int
    """How often a step was compiled anew."""
    load: Range | None
    """The host's load average, least and greatest; None where it has none."""
    clock_mhz: Range | None
    """The device's clock, least and greatest; None where it can't be read."""
    temperature_celsius: Range | None
    """The GPU's temperature, least and greatest; None where it can't be read."""

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Self:
        """Sums and ranges over the blocks."""
        return cls(
            allocator_retries=sum(block.allocator_retries for block in blocks),
            recompilations=sum(block.recompilations for block in blocks),
            load=range_of(block.load for block in blocks),
            clock_mhz=range_of(block.clock_mhz for block in blocks),
            temperature_celsius=range_of(block.temperature_celsius for block in blocks),
        )


class Split(_Part):
    """Where the winner's steps spend their time, in shares of it."""

    data_wait: float
    """Share of waiting for the loader."""
    copy_to_device: float
    """Share of bringing batches to the device."""
    compute: float
    """Share of forward and backward; of the optimizer too, where that is not told apart."""
    optimizer: float | None
    """Share of the optimizer; None where a step is one call, as a recorded one is, or not ``trial.step``'s."""
    epoch_starts: float = 0.0
    """What the starts of epochs take beside the steps, as a share of both."""


class Heat(_Part):
    """One setting that was tried against another, or passed over."""

    stage: HeatStage
    setting: dict[str, Scalar]
    """The whole setting that was tried."""
    changes: dict[str, Scalar]
    """What of the setting differs from what it was tried against; None for what is left out."""
    verdict: Verdict
    reason: str
    """Why the verdict is what it is."""
    gain: Gain | None = None
    """The setting over what it was tried against; None where it was not compared."""
    samples_per_second: float | None = None
    """The setting's throughput; None where it was not measured."""
    peak_memory_bytes: int | None = None
    """What the setting held at most, warm-up and blocks; None where it was not started."""
    start_seconds: float | None = None
    """What a run with the setting pays once; None where it was not started."""
    surroundings: Surroundings | None = None
    """What was around while the heat was measured; None where it was not."""
    seconds: float = 0.0
    """What the heat took of the race's time."""
    is_in_turns: bool = False
    """The setting had no room beside the one to beat: the two held the device one at a time."""


class BreakEven(_Part):
    """When a one-off cost has paid for itself."""

    knob: str
    """Name of the knob that starts more slowly."""
    start_seconds: float
    """Seconds that a run's start takes longer with it."""
    steps: int | None
    """Steps after which the start is repaid; None for never."""
    steps_that_remain: int
    """Steps of a run of the length that the race was for."""
    step_seconds: float | None = None
    """What a step takes without it; None in races of earlier versions."""

    @property
    def was_repaid(self) -> bool:
        """Whether a run of the length that the race was for repays it."""
        return self.steps is not None and self.steps <= self.steps_that_remain


class EpochStarts(_Part):
    """Seconds of an epoch before its first batch, which are in no figure: nobody knows how many steps share them."""

    winner_seconds: float
    baseline_seconds: float


class TriedBatch(_Part):
    """A batch larger than the race's own, which was trained for two steps to know whether it fits the device."""

    batch_size: int
    setting: dict[str, Scalar]
    """Its speed parameters: what trials of that batch take over of the winner, or the baseline's."""
    peak_memory_bytes: int | None
    """What it held at most; None where it does not fit."""
    reason: str
    """Why it does not fit; empty where it does."""
    shortage: Shortage | None
    """Whose memory it ran out of by itself; None for any other reason."""


class RaceResult(_Part):
    """The setting that a race ends with, and everything that it measured on the way."""

    baseline: dict[str, Scalar]
    """The first setting to beat."""
    setting: dict[str, Scalar]
    """The winner; the baseline where nothing is surely faster."""
    diagnoses: tuple[Diagnosis, ...]
    """What steps wait for, of the baseline and of each incumbent after it that was looked at."""
    noise_floor: float | None
    """Relative difference that two contestants of one setting showed side by side; None where it was not measured.

    Within it, two settings tie."""
    noise_floor_in_turns: float | None = None
    """Relative difference that two contestants of one setting showed in turns; None where none had to take any."""
    seconds_for_more: float | None = None
    """What the race would have needed for one more heat, where contestants took turns and its time was too short."""
    heats: tuple[Heat, ...]
    """Every heat, in order."""
    gain: Gain | None = None
    """The winner over the baseline, on fresh contestants; None where the winner is the baseline."""
    informed: dict[str, Scalar] | None = None
    """What an informed user would have set without measuring, as far as that was seen to take hold; None where the race
    was not to meet it, as in a study."""
    informed_gain: Gain | None = None
    """The winner over the informed setting; None where the two did not meet, or are the same."""
    guess_refusal: str | None = None
    """Why the informed setting is not the winner, though it was surely faster; None where it was not, or is."""
    break_evens: tuple[BreakEven, ...] = ()
    """For each knob that was faster and starts more slowly, when a run has repaid that."""
    is_run_too_short_to_compile: bool = False
    """Compiling was not tried, since no run of the length that the race was for could repay it."""
    reduced_precision: tuple[str, ...] = ()
    """Knobs in the winner that compute with fewer digits."""
    surroundings: Surroundings | None = None
    """What was around while ``samples_per_second`` was measured; None in races of earlier versions."""
    samples_per_second: float
    """The winner's throughput, epoch starts included where the loader tells how many batches a pass has."""
    uncharged_starts: EpochStarts | None = None
    """Epoch starts that no figure includes; None where figures do, or where they are too short to matter."""
    baseline_samples_per_second: float
    """The baseline's throughput: the winner's, by the gain that was confirmed."""
    peak_memory_bytes: int
    """What the winner held at most, warm-up and blocks of all its contestants."""
    split: Split
    """Where the winner's steps spend their time."""
    steps_per_epoch: int | None = None
    """Batches of a pass over the data; None where the loader does not tell."""
    samples_per_step: float | None = None
    """Samples that a step of the winner takes in the mean; None in races of earlier versions."""
    seconds: float
    """Wall clock of the whole race."""
    seconds_given: float | None = None
    """What the race was to take; None in races of earlier versions."""
    is_cut_short: bool = False
    """The race's time was up before everything was tried."""
    ended_by: str | None = None
    """Why the race ended early, when its setting to beat could not be started again; None where it did not."""
    kept_state: tuple[str, ...] = ()
    """Arguments with which the optimizer kept more of each weight, such as momentum: what was held is of trainings with
    them alone. Empty in races of earlier versions, too."""
    batches: tuple[TriedBatch, ...] = ()
    """Larger batches of the study's, tried after the race to know which fit the device."""

    @property
    def is_in_turns(self) -> bool:
        """Something was measured while two settings held the device one at a time."""
        return self.seconds_for_more is not None or any(heat.is_in_turns for heat in self.heats)

    @property
    def lost(self) -> tuple[Heat, ...]:
        """The heats whose settings can't be trained with."""
        return tuple(heat for heat in self.heats if heat.verdict == "infeasible")

    @property
    def has_found_out_nothing(self) -> bool:
        """The race's time was up, or it was ended, before one setting was measured."""
        return self.is_cut_short and not any(heat.verdict in {"kept", "rejected"} for heat in self.heats)

    @property
    def had_no_time_for_informed(self) -> bool:
        """The winner was to meet the informed setting, which is another one, and the race had no time left for it."""
        if self.informed is None or self.informed in (self.setting, self.baseline) or self.ended_by is not None:
            return False
        return not any(heat.stage == "informed" and heat.verdict != "skipped" for heat in self.heats)

    @property
    def is_informed_setting(self) -> bool:
        """The winner is the informed setting, or what of it was in force: it was found, or has beaten what was."""
        if self.gain is None or self.informed is None or self.informed_gain is not None:
            return False
        has_beaten = any(heat.stage == "informed" and heat.gain is not None for heat in self.heats)
        return has_beaten or self.setting == self.informed

    @property
    def unproven(self) -> Heat | None:
        """The confirmation of what won each heat, and was faster again, though not surely; None where none was."""
        confirmed = [heat for heat in self.heats if heat.stage == "confirm" and heat.gain is not None]
        if self.gain is not None or not confirmed or confirmed[-1].gain is None or confirmed[-1].gain.ratio <= 1:
            return None
        return confirmed[-1]

    @property
    def kept(self) -> dict[str, Scalar]:
        """What of the winner differs from the baseline."""
        return {name: value for name, value in self.setting.items() if self.baseline.get(name, ...) != value}

    @property
    def is_answer(self) -> bool:
        """The race says something of later trainings: a winner, or that there is none where one could be seen."""
        is_open = self.is_cut_short or self.unproven is not None or self.is_too_loud
        return self.gain is not None or not is_open

    @property
    def is_too_loud(self) -> bool:
        """Noise hid gains that are worth having: that nothing was found says little."""
        return self.loudest_noise > _LOUD

    @property
    def loudest_noise(self) -> float:
        """The greater of the two noise floors; 0 where none was measured."""
        floors = [floor for floor in (self.noise_floor, self.noise_floor_in_turns) if floor is not None]
        return max(floors, default=0.0)

    @property
    def setting_in_full_precision(self) -> dict[str, Scalar]:
        """The winner with the baseline's digits, as for a workload whose loss was not judged with fewer."""
        shortened = self.reduced_precision
        setting = {name: value for name, value in self.setting.items() if name not in shortened}
        return setting | {name: self.baseline[name] for name in shortened if name in self.baseline}

    @property
    def seconds_late(self) -> float:
        """Seconds that the race took beyond its time; 0 where that is within a twentieth."""
        given = self.seconds_given
        return self.seconds - given if given is not None and self.seconds > _ON_TIME * given else 0.0
