"""Every combination of a conditional space, each once, in an order that a seed gives.

Optuna's BruteForceSampler does the same, but it can't be asked whether it has finished (it calls
``Study.stop``, which raises outside of ``optimize``), and it refuses a study with a trial that
names only some of the parameters, as our baseline does.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from autotune.events import Scalar
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.search.suggest import MisfitError, fit, walk


@dataclass
class _Node:
    """The combinations that are left below one prefix of choices."""

    left: list[Scalar] | None = None
    """Values below which untried combinations are left; None before the first visit."""
    children: dict[Scalar, "_Node"] = field(default_factory=dict)


class Grid:
    """The combinations of a space that have not been tried."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._root = _Node()
        self._is_exhausted = False
        self._marked: set[int] = set()

    def mark(self, number: int, values: Mapping[str, Scalar]) -> None:
        """Mark the values of trial ``number`` as tried; values that don't fit the space are ignored."""
        if number in self._marked:
            return
        self._marked.add(number)
        try:
            fit(self._space, values)
        except MisfitError:
            return
        self._close(self._path(values))

    def next(self, seed: int) -> dict[str, Scalar] | None:
        """A combination that no marked trial has; None when there is none. It is not marked as tried."""
        if self._is_exhausted:
            return None
        # Not for cryptography: the order of the cells only has to repeat with the seed.
        draw = random.Random(seed)  # noqa: S311
        node = self._root

        def choose(parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> Scalar:
            nonlocal node
            left = node.left if node.left is not None else list(cells(parameter, choices))
            value = draw.choice(left)
            node = node.children.get(value, _Node())
            return value

        return walk(self._space, choose)

    def _path(self, values: Mapping[str, Scalar]) -> list[tuple[_Node, Scalar]]:
        path: list[tuple[_Node, Scalar]] = []
        node = self._root

        def choose(parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> Scalar:
            nonlocal node
            if node.left is None:
                node.left = list(cells(parameter, choices))
            value = values[parameter.name]
            path.append((node, value))
            node = node.children.setdefault(value, _Node())
            return value

        walk(self._space, choose)
        return path

    def _close(self, path: list[tuple[_Node, Scalar]]) -> None:
        for node, value in reversed(path):
            assert node.left is not None
            if value in node.left:
                node.left.remove(value)
            if node.left:
                return
        self._is_exhausted = True


def cells(parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """The values of one parameter on the grid."""
    if choices:
        return choices
    assert parameter.low is not None
    assert parameter.high is not None
    assert parameter.step or parameter.type == "int", "a grid over floats without a step is refused with the spec"
    step = Decimal(str(parameter.step or 1))
    low = Decimal(str(parameter.low))
    count = int((Decimal(str(parameter.high)) - low) // step) + 1
    values = (low + index * step for index in range(count))
    if parameter.type == "int":
        return tuple(int(value) for value in values)
    return tuple(float(value) for value in values)
