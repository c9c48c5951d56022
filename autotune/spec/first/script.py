"""A plain PyTorch script's optimizer, loader and flags, read from its text; the script is never run."""

import ast
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.spec.first.values import Constants, UnknownValueError, Value
from autotune.spec.optimizers import OPTIMIZERS, OptimizerFacts

_LOADER = ("dataset", "batch_size")
"""The positional arguments of a DataLoader that are read."""
_LOADER_KEYS = ("batch_size", "num_workers", "pin_memory", "prefetch_factor", "persistent_workers")
_SCHEDULES = {"CosineAnnealingLR": "cosine", "OneCycleLR": "one_cycle", "StepLR": "step"}
_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
_MATMUL_PRECISIONS = {"highest": "ieee", "high": "tf32", "medium": "bf16"}
_FLAGS = {"cudnn.benchmark": "cudnn_benchmark", "cudnn.deterministic": "cudnn_deterministic"}
_IMPLEMENTATIONS = {("fused", True): "fused", ("foreach", True): "foreach", ("foreach", False): "for_loop"}


@dataclass(frozen=True)
class Reading:
    """One thing that the script sets."""

    name: str
    """Of the parameter, as in a spec; ``epochs`` and ``seed`` are keys of the spec itself."""
    value: Scalar
    line: int


@dataclass(frozen=True)
class Unread:
    """One thing that the script sets and its text alone does not tell."""

    name: str
    expression: str
    line: int


@dataclass(frozen=True)
class Script:
    """What was read, each parameter once: the first place in the text counts."""

    tree: ast.Module
    text: str
    readings: tuple[Reading, ...]
    unread: tuple[Unread, ...]

    def value(self, name: str) -> Scalar:
        """The parameter's value; None where the script does not set it."""
        return next((reading.value for reading in self.readings if reading.name == name), None)


def read_script(path: Path) -> Script:
    """Raises InputError where there is no such file, or it is not Python."""
    if path.suffix == ".ipynb":  # which parses as Python, and has nothing in it
        raise InputError(
            f"{path}: a script must be Python, got a notebook; `jupyter nbconvert --to script {path}` first"
        )
    try:
        with tokenize.open(path) as file:  # in its own encoding, with or without a byte order mark
            text = file.read()
        tree = ast.parse(text, filename=str(path))
    except OSError as error:
        raise InputError(f"{path}: a script must be a file that can be read, got {error.strerror!r}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        reason = error.args[0] if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"{path}:{line}: a script must be Python, got {reason!r}; mend it first") from error
    return parse_script(tree, text=text)


def parse_script(tree: ast.Module, *, text: str) -> Script:
    """As ``read_script``, of a text that is parsed already."""
    reader = _Reader(tree)
    for node in sorted(ast.walk(tree), key=_place):
        reader.read(node)
    return Script(tree, text, tuple(reader.readings.values()), tuple(reader.unread.values()))


def loaders_of(tree: ast.Module) -> Sequence[ast.Call]:
    """The script's DataLoaders in the text's order; one that shuffles, which trains, before all others."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name_of(node) == "DataLoader"]
    return sorted(calls, key=lambda call: (not _shuffles(call), _place(call)))


def _shuffles(call: ast.Call) -> bool:
    shuffle = _keywords(call).get("shuffle")
    return isinstance(shuffle, ast.Constant) and shuffle.value is True


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self._constants = Constants(tree)
        self._loader = next(iter(loaders_of(tree)), None)
        self.readings: dict[str, Reading] = {}
        self.unread: dict[str, Unread] = {}

    def read(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._read_call(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            name = next((flag for end, flag in _FLAGS.items() if ast.unparse(node.targets[0]).endswith(end)), None)
            if name is not None:
                self._take(name, node.value)
        elif isinstance(node, ast.For) and "epoch" in ast.unparse(node.target):
            self._read_epochs(node.iter)

    def _read_epochs(self, node: ast.expr) -> None:
        if isinstance(node, ast.Call) and _name_of(node) == "range":
            start, *stop = node.args[:2]
            count = ast.BinOp(left=stop[0], op=ast.Sub(), right=start) if stop else start
            self._take("epochs", ast.copy_location(count, node))

    def _read_call(self, call: ast.Call) -> None:
        name = _name_of(call)
        facts = next((facts for facts in OPTIMIZERS.values() if facts.class_name == name), None)
        if facts is not None and "optimizer" not in self.readings:
            self._read_optimizer(call, facts)
        elif call is self._loader:
            given = dict(zip(_LOADER, call.args, strict=False)) | _keywords(call)
            for key in _LOADER_KEYS:
                if key in given:
                    self._take(key, given[key])
        elif name in _SCHEDULES:
            self._put("schedule", _SCHEDULES[name], call)
        elif name in _CALLS:
            _CALLS[name](self, call)

    def _read_optimizer(self, call: ast.Call, facts: OptimizerFacts) -> None:
        self._put("optimizer", facts.name, call)
        given = _keywords(call)
        if len(call.args) > 1:
            given = {"lr": call.args[1], **given}
        for key, node in given.items():
            if key in facts.tuples:
                self._take_tuple(facts.tuples[key], node)
            elif key in {"fused", "foreach"}:
                implementation = (
                    _IMPLEMENTATIONS.get((key, node.value is True)) if isinstance(node, ast.Constant) else None
                )
                if implementation is not None:
                    self._put("optimizer_impl", implementation, node)
            elif key in facts.arguments:
                self._take(key, node)

    def read_compile(self, call: ast.Call) -> None:
        mode = _keywords(call).get("mode")
        self._put("compile", "default", call) if mode is None else self._take("compile", mode)

    def read_autocast(self, call: ast.Call) -> None:
        dtype = _keywords(call).get("dtype")
        name = ast.unparse(dtype).rpartition(".")[2] if dtype is not None else "float16"
        if name in _PRECISIONS:
            self._put("precision", _PRECISIONS[name], call)

    def read_memory_format(self, call: ast.Call) -> None:
        layout = _keywords(call).get("memory_format")
        if layout is not None and ast.unparse(layout).endswith("channels_last"):
            self._put("channels_last", value=True, node=call)

    def read_matmul_precision(self, call: ast.Call) -> None:
        """By the newer name of the same switch, which is the one that is raced."""
        word = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if word in _MATMUL_PRECISIONS:
            self._put("fp32_precision_matmul", _MATMUL_PRECISIONS[str(word)], call)

    def read_clipping(self, call: ast.Call) -> None:
        node = call.args[1] if len(call.args) > 1 else _keywords(call).get("max_norm")
        if node is not None:
            self._take("gradient_clip", node)

    def take_first(self, name: str, call: ast.Call) -> None:
        if call.args:
            self._take(name, call.args[0])

    def _take_tuple(self, names: tuple[str, ...], node: ast.expr) -> None:
        if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == len(names):
            for name, element in zip(names, node.elts, strict=True):
                self._take(name, element)
        else:
            for name in names:
                self.unread.setdefault(name, Unread(name, ast.unparse(node), node.lineno))

    def _take(self, name: str, node: ast.expr) -> None:
        try:
            value: Value = self._constants.value(node)
        except UnknownValueError as error:
            self.unread.setdefault(name, Unread(name, str(error), node.lineno))
            return
        if not isinstance(value, tuple):
            self._put(name, value, node)

    def _put(self, name: str, value: Scalar, node: ast.expr) -> None:
        self.readings.setdefault(name, Reading(name, value, node.lineno))


_CALLS: Mapping[str, Callable[[_Reader, ast.Call], None]] = {
    "compile": _Reader.read_compile,
    "autocast": _Reader.read_autocast,
    "to": _Reader.read_memory_format,
    "clip_grad_norm_": _Reader.read_clipping,
    "set_num_threads": lambda reader, call: reader.take_first("torch_threads", call),
    "set_float32_matmul_precision": _Reader.read_matmul_precision,
    "manual_seed": lambda reader, call: reader.take_first("seed", call),
}


def _name_of(call: ast.Call) -> str:
    """The last word of what is called: ``Adam`` of ``torch.optim.Adam(...)``."""
    return ast.unparse(call.func).rpartition(".")[2]


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
