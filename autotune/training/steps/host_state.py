"""What a step finds on the host, beside its batch and its optimizer, and whether that is still as it was.

A recorded graph keeps the numbers that it was recorded with, and the addresses of its tensors. So what it was made of
is compared by value where it is a number, a flag or a text, by address where it is a tensor, and else by identity.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from operator import attrgetter, is_
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.device, torch.dtype, torch.memory_format, np.generic)
_WITHOUT_ATTRIBUTES = (nn.Module, Optimizer, Tensor, type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)
_MOST_ENTRIES = 64
"""A list, dict or array of the host is compared entry by entry up to this length, and else by identity."""
_DEEPEST = 3
"""How many levels of lists in lists, or of functions that refer to functions, are looked into."""
_NEEDS_GRADIENT = attrgetter("requires_grad")
_UNBOUND = object()
_BOOKS = frozenset(vars(nn.Module())) - {"training"}
"""Attributes that torch gives every module: for its tensors, its modules and its hooks."""
_TREE = ("_parameters", "_buffers", "_modules")


class SeenTensor:
    """A tensor as a graph knows it: equal to one of the same address, shape, strides, dtype and need of a gradient.

    It keeps the tensor's memory, so that no other tensor can get the address while there is something to compare.

    Args:
        tensor: The tensor.
        is_baked: Whether kernels of another device take the tensor's value in place of its address; the value is
            compared, too, then.
    """

    def __init__(self, tensor: Tensor, *, is_baked: bool = False) -> None:
        address = _address(tensor)
        # One without memory of its own (sparse, or a subclass around others) is told by the object.
        self._kept = tensor if address is None else tensor.detach()
        gradient = tensor.grad if tensor.is_leaf else None
        self._told: tuple[object, ...] = (
            *(id(tensor) if address is None else address, tensor.shape, tensor.dtype, tensor.device),
            *(tensor.layout, None if address is None else tensor.stride(), tensor.requires_grad),
            None if gradient is None else SeenTensor(gradient),
        )
        if is_baked and not tensor.is_inference():
            self._told += (tensor._version,)  # noqa: SLF001
        if is_baked and address is not None and tensor.numel() <= _MOST_ENTRIES:
            self._told += (repr(tensor.tolist()),)  # by its text NaN is equal to itself

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeenTensor) and self._told == other._told

    __hash__ = None  # type: ignore[assignment]


class _Same:
    """An object of any other kind, which equals itself alone; it is kept, so that no other object gets its identity."""

    def __init__(self, kept: object) -> None:
        self._kept = kept

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._kept is other._kept

    __hash__ = None  # type: ignore[assignment]


def _address(tensor: Tensor) -> int | None:
    """Where the tensor lies; None for one without memory of its own."""
    try:
        return tensor.data_ptr() or None
    except RuntimeError:
        return None


class HostState:
    """What a step may read or change on the host: in its modules, and in what its loss refers to.

    This comprises each parameter, buffer and attribute of all modules, the variables that the loss function is bound
    to, and their attributes. It does not comprise attributes of objects that are attributes themselves, globals, and
    entries of long lists and arrays.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        self._model = model
        self._loss = loss

    def read(self) -> dict[str, object]:
        """All of it as it is now, by name, the owner's first; a graph can be replayed while the values stay equal."""
        is_on_host = next((parameter.is_cpu for parameter in self._model.parameters()), True)
        return {name: _told(value, is_baked=not is_on_host) for name, value in self._values()}

    def read_generators(self) -> dict[str, object]:
        """The states of the host's random generators: the global ones, and those in attributes."""
        found: dict[str, object] = {
            "random": random.getstate(),
            "numpy.random": _frozen(np.random.get_state(legacy=False)),  # noqa: NPY002
            "torch": torch.get_rng_state().numpy().tobytes(),
        }
        states = ((name, _generator_state(value)) for name, value in self._values())
        return found | {name: state for name, state in states if state is not None}

    def glance(self) -> "Glance":
        """The part of it that is cheap enough to be compared before each step, as it is now."""
        places: list[dict[str, Any]] = []
        attributes: list[tuple[dict[str, Any], str]] = []
        for _, holder in self._holders():
            held = vars(holder)
            if not isinstance(holder, nn.Module):
                places.append(held)
                continue
            places += [held[name] for name in ("_parameters", "_buffers") if held[name]]
            if not type(holder).__module__.startswith("torch."):
                attributes += [(held, name) for name in held if name not in _BOOKS]
        return Glance(places, attributes, list(_cells(self._loss)))

    def _values(self) -> Iterator[tuple[str, Any]]:
        """Names and values of all that a step may read or change on the host."""
        yield "the loss", self._loss
        yield from _bound_to(self._loss)
        for owner, holder in self._holders():
            for name, value in _attributes(holder):
                yield f"{owner}.{name}", value

    def _holders(self) -> Iterator[tuple[str, Any]]:
        """Each object whose attributes count, once, with a name of its own."""
        bound = [self._loss, *(value for _, value in _bound_to(self._loss))]
        others = [each for each in bound if hasattr(each, "__dict__") and not isinstance(each, _WITHOUT_ATTRIBUTES)]
        values = chain(bound, *(vars(other).values() for other in others))
        roots = [self._model, *(value for value in values if isinstance(value, nn.Module))]
        seen: set[nn.Module] = set()
        named = [each for root in roots for each in root.named_modules(memo=seen)]
        taken: set[str] = set()
        for name, holder in (*named, *(("", other) for other in {id(other): other for other in others}.values())):
            owner = f"{type(holder).__name__} {name}".strip()
            if owner in taken:
                owner = f"{owner} ({len(taken)})"
            taken.add(owner)
            yield owner, holder


class Glance:
    """Remembers the tensors of modules, the attributes of a user's classes and what a loss is bound to.

    They are compared by identity, tensors by address and ``requires_grad``, too. It does not see the attributes of
    torch's own modules (a Dropout's ``p``), entries of lists, and modules that were put in another's place.
    """

    def __init__(
        self, places: list[dict[str, Any]], attributes: list[tuple[dict[str, Any], str]], cells: list[CellType]
    ) -> None:
        self._places = places
        self._entries = list(chain.from_iterable(map(dict.values, places)))
        self._holders = [held for held, _ in attributes]
        self._names = [name for _, name in attributes]
        self._values = list(map(dict.get, self._holders, self._names))
        self._cells = cells
        self._bound = [_content(cell) for cell in cells]
        held = chain(self._entries, self._values, self._bound)
        tensors = {id(value): value for value in held if isinstance(value, Tensor) and _address(value) is not None}
        self._tensors = list(tensors.values())
        self._addresses = list(map(Tensor.data_ptr, self._tensors))
        self._parameters = [tensor for tensor in self._tensors if isinstance(tensor, nn.Parameter)]
        self._need_gradients = list(map(_NEEDS_GRADIENT, self._parameters))

    def is_same(self) -> bool:
        """Whether all of it is as it was; takes about 0.15 microseconds for each tensor."""
        return (
            sum(map(len, self._places)) == len(self._entries)
            and all(map(is_, chain.from_iterable(map(dict.values, self._places)), self._entries))
            and all(map(is_, map(dict.get, self._holders, self._names), self._values))
            and list(map(Tensor.data_ptr, self._tensors)) == self._addresses
            and list(map(_NEEDS_GRADIENT, self._parameters)) == self._need_gradients
            and all(_content(cell) is value for cell, value in zip(self._cells, self._bound, strict=True))
        )


def _content(cell: CellType) -> object:
    """What is bound to the cell's name, or ``_UNBOUND``."""
    try:
        return cell.cell_contents
    except ValueError:  # nothing is bound to the name yet
        return _UNBOUND


def _bound_to(function: object, depth: int = _DEEPEST) -> Iterator[tuple[str, Any]]:
    """Names and values of what a function was bound to where it was made; functions among them are followed."""
    if isinstance(function, MethodType):
        yield "self", function.__self__
        yield from _bound_to(function.__func__, depth)
    elif isinstance(function, partial):
        yield from ((f"argument {number}", value) for number, value in enumerate(function.args))
        yield from function.keywords.items()
        yield from _bound_to(function.func, depth)
    elif isinstance(function, FunctionType):
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        defaults = function.__defaults__ or ()
        own = [(name, _content(cell)) for name, cell in cells]
        own = [(name, value) for name, value in own if value is not _UNBOUND]
        own += [
            *zip(names[len(names) - len(defaults) :], defaults, strict=True),
            *(function.__kwdefaults__ or {}).items(),
        ]
        for name, value in own:
            yield name, value
            if depth:
                yield from ((f"{name}.{inner}", each) for inner, each in _bound_to(value, depth - 1))


def _cells(function: object, depth: int = _DEEPEST) -> Iterator[CellType]:
    """The cells of a function's closure, and those of the functions that they hold."""
    while isinstance(function, partial | MethodType):
        function = function.func if isinstance(function, partial) else function.__func__
    if isinstance(function, FunctionType):
        for cell in function.__closure__ or ():
            yield cell
            if depth:
                yield from _cells(_content(cell), depth - 1)


def _attributes(holder: object) -> Iterator[tuple[str, Any]]:
    """Names and values of an object's attributes; a module's tensors and modules one by one."""
    held = vars(holder)
    if not isinstance(holder, nn.Module):
        yield from held.items()
        return
    for name, value in held.items():
        if name in _TREE:
            yield from value.items()
        elif value or name not in _BOOKS:
            yield name, value


def _told(value: object, *, is_baked: bool, depth: int = _DEEPEST) -> object:
    """What stands for a value in a comparison."""
    if isinstance(value, _PLAIN):
        return value.__class__, value
    if isinstance(value, Tensor):
        return SeenTensor(value, is_baked=is_baked and value.is_cpu)
    if isinstance(value, np.ndarray) and value.size <= _MOST_ENTRIES and not value.dtype.hasobject:
        return value.dtype.str, value.shape, value.tobytes()
    if not isinstance(value, list | tuple | deque | dict) or not depth:
        return _Same(value)
    if len(value) > _MOST_ENTRIES:
        return _Same(value), len(value)
    tell = partial(_told, is_baked=is_baked, depth=depth - 1)
    entries = chain.from_iterable(value.items()) if isinstance(value, dict) else value
    return type(value), tuple(map(tell, entries))


def _generator_state(value: object) -> object:
    """The state of a random generator; None for any other value."""
    match value:
        case np.random.Generator():
            return _frozen(value.bit_generator.state)
        case np.random.RandomState():
            return _frozen(value.get_state(legacy=False))
        case torch.Generator():
            return value.get_state().numpy().tobytes()
        case random.SystemRandom():
            return _Same(object())  # nothing shows whether it was drawn from
        case random.Random():
            return value.getstate()
        case _:
            return None


def _frozen(state: object) -> object:
    """The state with each dict as a tuple and each array as bytes, so that it can be compared."""
    if isinstance(state, dict):
        return tuple((name, _frozen(value)) for name, value in state.items())
    return state.tobytes() if isinstance(state, np.ndarray) else state


def first_difference(before: Mapping[str, object], now: Mapping[str, object]) -> str | None:
    """The first name whose values differ; None where all are equal."""
    missing = object()
    for name in {**before, **now}:
        value, other = before.get(name, missing), now.get(name, missing)
        if value is not other and value != other:
            return name
    return None
