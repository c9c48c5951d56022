"""What a screening leaves undecided: values that noise may have hidden, and those that had few quads."""

from collections.abc import Mapping, Sequence

from autotune.events import Scalar
from autotune.speed.racing.heats.finish import Finish


class Undecided:
    """Heats whose end said too little; of each knob one at most, which is taken out when it is tried again.

    Args:
        most_quads: Quads that a screening has at most: a value that had fewer was given up early.
    """

    def __init__(self, *, most_quads: int) -> None:
        self._most_quads = most_quads
        self._hidden: dict[str, Finish] = {}
        self._given_up: dict[str, Finish] = {}
        self._taken_twice: set[str] = set()

    @property
    def hidden(self) -> Mapping[str, Finish]:
        """By knob, the value that noise may have hidden: one that seemed faster, or a winner's runner-up."""
        return self._hidden

    @property
    def given_up(self) -> Mapping[str, Finish]:
        """By knob, of those that are not ``hidden``, the best value that was no faster in the few quads that it had."""
        return self._given_up

    @property
    def runners_up(self) -> list[str]:
        """Knobs of which another value was surely faster, too."""
        return [name for name, finish in self._hidden.items() if finish.is_kept]

    def take_hidden(self, name: str) -> Scalar:
        """Take out the value of this knob that noise may have hidden."""
        return self._hidden.pop(name).setting.get(name)

    def take_given_up(self, name: str) -> Scalar:
        """Take out the value of this knob that was given up, which is kept no second time."""
        self._taken_twice.add(name)
        return self._given_up.pop(name).setting.get(name)

    def note(self, name: str, finishes: Sequence[Finish], *, best: Finish | None) -> None:
        """Keep what may be better than the best of these heats, or where there is none, than the setting to beat.

        Each met the same incumbent by itself: two that beat it differ by less than either is sure of.

        Args:
            name: The knob's.
            finishes: Of its values, one at least.
            best: The winner among them; None where none won.
        """
        others = [each for each in finishes if each is not best]
        if best is None:
            left = [each for each in others if each.is_undecided]
        else:
            sure = best.comparison.interval[0]
            left = [each for each in others if each.is_kept and each.comparison.interval[1] >= sure]
        self._hidden.pop(name, None)
        self._given_up.pop(name, None)
        given_up = [each for each in finishes if each.is_given_up_before(self._most_quads)] if best is None else []
        if left:
            self._hidden[name] = max(left, key=lambda each: each.ratio)
        elif given_up and name not in self._taken_twice:
            self._given_up[name] = max(given_up, key=lambda each: each.ratio)
