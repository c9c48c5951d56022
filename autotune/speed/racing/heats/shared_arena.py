"""One device for all contestants of a race: side by side while they fit, else one at a time, in turns.

A training that takes more than half of a device's memory leaves no room for a second one. Its
contestants take turns then: the one that has to train is started while every other is put away, and
a contestant that was put away is started anew when its next turn comes. Nothing is parked: a process
keeps its CUDA context, its captured graphs and the allocator's pools as long as it lives, and a
training loop of one's own holds tensors that nobody else knows of. A new process is what a training
run is anyway, and what two of them differ by is then part of the measurement.

Whoever uses an arena sees none of this but the time that it takes: a block may begin with a start.
"""

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from autotune.events import Block, Feed, Scalar, Warmed
from autotune.speed.measuring.arena import Arena, Contestant, ContestantLostError

_ROOM_SHARE = 0.95
"""Share of what did not fit together; what is larger than this is not tried side by side again."""
_LAST_BLOCKS = 6
"""Blocks by which a contestant's figures are known where it can't be started again."""


class NoRoomError(ContestantLostError):
    """Contestants that trained side by side have no room any more; none of them is lost, and they take turns now."""


class SharedContestant:
    """A contestant that may be put away between two of its blocks; it starts anew when it has to train."""

    def __init__(self, arena: "SharedArena", setting: Mapping[str, Scalar], *, seed: int) -> None:
        self.setting: Mapping[str, Scalar] = dict(setting)
        self.seed = seed
        self.is_retired = False
        self.start_seconds = 0.0
        """Seconds that its last start took of the race's time."""
        self.held_bytes = 0
        """What it holds of the device while it waits, as its last start showed; before the first, what is expected."""
        self.peak_bytes = 0
        """What it holds of the device at most, as its last start showed; before the first, what is expected."""
        self.most_bytes = 0
        """What it held at most in all its lives: where batches differ, a block may hold more than any before it."""
        self.last_blocks: deque[Block] = deque(maxlen=_LAST_BLOCKS)
        """Its newest blocks that the loader fed."""
        self._arena = arena
        self._living: Contestant | None = None
        self._warmed: Warmed | None = None

    @property
    def warmed(self) -> Warmed:
        """What its last start cost, and what is in force."""
        assert self._warmed is not None, "it has entered"
        return self._warmed

    @property
    def is_present(self) -> bool:
        """It holds its part of the device now."""
        return self._living is not None

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """Train for at least so long and so many steps, after a start where it was put away; see Contestant.

        Raises:
            NoRoomError: It ran out of memory beside others, which are put away now, as it is.
            ContestantLostError: It is lost, or can't be started again.
        """
        assert not self.is_retired
        self._arena.let_train(self)
        assert self._living is not None
        try:
            block = self._living.run_block(seconds=seconds, min_steps=min_steps, feed=feed)
        except ContestantLostError as error:
            if error.kind == "out of memory" and self._arena.make_room(self):
                raise NoRoomError(error.kind, str(error)) from error
            if error.kind != "unsupported" or self._living.is_retired:
                self.retire()
            raise
        self.most_bytes = max(self.most_bytes, block.peak_memory_bytes)
        if feed == "real":
            self.last_blocks.append(block)
        return block

    def restate(self, setting: Mapping[str, Scalar]) -> None:
        """Let it be known by this setting, which trains as its own does."""
        self.setting = dict(setting)

    def retire(self) -> None:
        """End it and free what it held; again is harmless."""
        self.is_retired = True
        self.put_away()

    def put_away(self) -> None:
        """Free what it holds until it has to train again."""
        if self._living is not None:
            self._arena.forget(self)
            self._living.retire()
            self._living = None

    def appear(self, living: Contestant, *, start_seconds: float) -> None:
        """Note that it was started, and what that took."""
        self._living, self._warmed, self.start_seconds = living, living.warmed, start_seconds
        self.peak_bytes = living.warmed.peak_memory_bytes
        self.most_bytes = max(self.most_bytes, self.peak_bytes)
        self.held_bytes = living.warmed.held_memory_bytes or self.peak_bytes


class SharedArena:
    """An arena that makes room for who has to train, where the device's memory does not hold all of its contestants.

    That two do not fit is told from a limit that was met (one ran out beside the other, and entered alone), or
    predicted: by what each was seen to hold, against such a limit and what the device has.

    Args:
        arena: Starts the contestants.
        memory_bytes: What the device has; None where nobody knows.
        clock: Gives seconds of the race.
    """

    def __init__(
        self, arena: Arena, *, memory_bytes: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._arena = arena
        self._clock = clock
        self._entered: list[SharedContestant] = []
        self._present: list[SharedContestant] = []
        self._seconds_for_a_start: Callable[[], float] = lambda: math.inf
        self._starts: list[float] = []
        """Seconds of each start, in order."""
        self._is_one_at_a_time = False
        self._memory_bytes = math.inf if memory_bytes is None else float(memory_bytes)
        self._met_bytes = math.inf
        """What those who were there held and a newcomer's peak came to where they did not fit; infinite until then."""

    @property
    def usual_start_seconds(self) -> float:
        """Seconds of a usual start: twice the least at most, since one that compiles is no measure of those to come.

        The least leaves out the first, which makes the device ready, unless that is all that is known.
        """
        return min(statistics.median(self._starts), 2 * min(self._starts[1:] or self._starts))

    def seconds_to_start_again(self, setting: Mapping[str, Scalar]) -> float:
        """The least seconds of a setting's starts, which are two or more; 0 for one that was started once or never.

        What compiles finds again what its first start has compiled. The least, since a moment of the machine's may make
        any start long.
        """
        starts = [contestant.start_seconds for contestant in self._entered if contestant.setting == setting]
        return min(starts) if len(starts) > 1 else 0.0

    def least_start_with(self, values: Mapping[str, Scalar]) -> float | None:
        """The least seconds of the starts of settings that have these values; None where none was started."""
        alike = (contestant for contestant in self._entered if values.items() <= contestant.setting.items())
        return min((contestant.start_seconds for contestant in alike), default=None)

    def limit_starts(self, seconds: Callable[[], float]) -> None:
        """From now on a start may take so long; asked before each of them."""
        self._seconds_for_a_start = seconds

    def enter(self, setting: Mapping[str, Scalar], *, seed: int = 0) -> SharedContestant:
        """A contestant that is warm; those beside which it does not fit are put away.

        Raises:
            ContestantLostError: It can't be trained with, alone on the device either.
        """
        contestant = SharedContestant(self, setting, seed=seed)
        # As large as those that are there, until it is measured.
        contestant.held_bytes = max((other.held_bytes for other in self._present), default=0)
        contestant.peak_bytes = max((other.peak_bytes for other in self._present), default=0)
        self.start(contestant)
        self._entered.append(contestant)
        return contestant

    def most_bytes(self, setting: Mapping[str, Scalar]) -> int:
        """What any contestant with this setting held at most, in warm-up and blocks; one has entered."""
        return max(contestant.most_bytes for contestant in self._entered if contestant.setting == setting)

    def start(self, contestant: SharedContestant) -> None:
        """Bring a contestant on the device, beside those who are there where they fit together, else alone.

        Raises:
            ContestantLostError: It can't be started.
        """
        if self._is_too_much(self._present, contestant):
            self._clear()
        try:
            self._bring(contestant)
        except ContestantLostError as error:
            if error.kind != "out of memory" or not self._present:
                raise
            others = self._clear()
            self._bring(contestant)
            self._learn(others, contestant)

    def let_train(self, contestant: SharedContestant) -> None:
        """Bring back one that was put away; the others leave where one at a time is to be there.

        Raises:
            ContestantLostError: It can't be started again; it is retired then.
        """
        if self._is_one_at_a_time:
            self._clear(but=contestant)
        if not contestant.is_present:
            try:
                self.start(contestant)
            except ContestantLostError as error:
                contestant.retire()
                raise ContestantLostError(error.kind, f"it could not be started again: {error}") from error

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Let whoever trains be alone on the device, even where there is room for more."""
        self._is_one_at_a_time = True
        try:
            yield
        finally:
            self._is_one_at_a_time = False

    def are_side_by_side(self, a: SharedContestant, b: SharedContestant) -> bool:
        """Whether both hold the device at once, which one that was put away is brought back for if they may fit.

        Raises:
            ContestantLostError: One can't be started again; that one is retired then.
        """
        if not (a.is_present and b.is_present) and not self._is_too_much([a], b):
            for contestant in (a, b):
                self.let_train(contestant)
        return a.is_present and b.is_present

    def has_room_for_two(self, contestant: SharedContestant) -> bool:
        """Whether another one of the contestant's size may fit beside it, as far as anything tells."""
        return self.has_room_for(contestant, contestant)

    def has_room_for(self, contestant: SharedContestant, newcomer: SharedContestant) -> bool:
        """Whether one of the newcomer's size may fit beside one of the contestant's, as far as anything tells."""
        return not self._is_too_much([contestant], newcomer)

    def make_room(self, contestant: SharedContestant) -> bool:
        """Put everybody away, the contestant too, which ran out of memory; False where it was alone."""
        if len(self._present) < 2:  # noqa: PLR2004 - it has nobody beside it
            return False
        self._learn([other for other in self._clear() if other is not contestant], contestant)
        return True

    def forget(self, contestant: SharedContestant) -> None:
        """Note that a contestant is about to leave the device."""
        if contestant in self._present:
            self._present.remove(contestant)

    def _bring(self, contestant: SharedContestant) -> None:
        """Start a contestant beside those who are there, within the time that the race has for a start."""
        began = self._clock()
        limit = self._seconds_for_a_start()
        living = self._arena.enter(contestant.setting, seed=contestant.seed, limit_seconds=limit)
        contestant.appear(living, start_seconds=self._clock() - began)
        self._starts.append(contestant.start_seconds)
        self._present.append(contestant)

    def _clear(self, *, but: SharedContestant | None = None) -> list[SharedContestant]:
        """Put everybody away but one; those that were put away."""
        gone = [contestant for contestant in self._present if contestant is not but]
        for contestant in gone:
            contestant.put_away()
        return gone

    def _is_too_much(self, present: Sequence[SharedContestant], newcomer: SharedContestant) -> bool:
        """Whether the newcomer has no room beside the others.

        A search of cuDNN's takes workspaces as large as it finds room for, so that a peak predicts nothing but
        what another peak came to; what all of them hold once they are warm, they need.
        """
        if not present:
            return False
        held = sum(contestant.held_bytes for contestant in present)
        return held + newcomer.held_bytes > self._memory_bytes or held + newcomer.peak_bytes > self._met_bytes

    def _learn(self, present: Sequence[SharedContestant], newcomer: SharedContestant) -> None:
        """Remember that they did not fit together."""
        together = sum(contestant.held_bytes for contestant in present) + newcomer.peak_bytes
        self._met_bytes = min(self._met_bytes, _ROOM_SHARE * together)
