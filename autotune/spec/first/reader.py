"""Reads a script's calls and assignments as parameters of a spec."""

import ast
from collections.abc import Callable, Mapping, Sequence

from autotune.events import Scalar
from autotune.spec.first.findings import Note, Reading, Unread
from autotune.spec.first.frameworks import Framework, read_framework
from autotune.spec.first.records import UnknownValueError
from autotune.spec.first.values import Constants, Value
from autotune.spec.optimizers import OPTIMIZERS, OptimizerFacts

_LOADER = ("dataset", "batch_size")
"""The positional arguments of a DataLoader that are read."""
_LOADER_KEYS = ("batch_size", "num_workers", "pin_memory", "prefetch_factor", "persistent_workers")
_SCHEDULES = {"CosineAnnealingLR": "cosine", "OneCycleLR": "one_cycle", "StepLR": "step", "ExponentialLR": "step"}
_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
_MATMUL_PRECISIONS = {"highest": "ieee", "high": "tf32", "medium": "bf16"}
_FLAGS = {"cudnn.benchmark": "cudnn_benchmark", "cudnn.deterministic": "cudnn_deterministic"}
_OTHER_SCHEDULES = (
    *("LambdaLR", "MultiplicativeLR", "MultiStepLR", "ConstantLR", "LinearLR", "PolynomialLR", "SequentialLR"),
    *("ChainedScheduler", "CyclicLR", "CosineAnnealingWarmRestarts", "ReduceLROnPlateau", "get_scheduler"),
)
_WANTED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "optimizer": ("no optimizer of torch.optim was found", ("optimizer_name",)),
    "lr": ("no learning rate was found", ("learning_rate", "lr", "LR", "LEARNING_RATE")),
    "batch_size": ("no batch size was found", ("batch_size", "BATCH_SIZE")),
    "epochs": ("no number of epochs was found", ("num_epochs", "epochs", "EPOCHS", "NUM_EPOCHS")),
}
"""Settings that a training needs, each with a message for where it was not found, and its usual variable names."""
_WHOLE = ("epochs", "batch_size", "seed", "num_workers")
_NUMBERS = (*_WHOLE, "lr", "weight_decay", "momentum", "beta1", "beta2", "eps", "gradient_clip", "schedule_gamma")
_IMPLEMENTATIONS = {("fused", True): "fused", ("foreach", True): "foreach", ("foreach", False): "for_loop"}


def loaders_of(tree: ast.Module) -> Sequence[ast.Call]:
    """The script's DataLoaders: those that shuffle first, since they train, each in the order of the text."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name_of(node) == "DataLoader"]
    return sorted(calls, key=lambda call: (not _shuffles(call), place_of(call)))


def _shuffles(call: ast.Call) -> bool:
    shuffle = _keywords(call).get("shuffle")
    return isinstance(shuffle, ast.Constant) and shuffle.value is True


def place_of(node: ast.AST) -> tuple[int, int]:
    """Line and column, to sort by."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


class Reader:
    """Reads a script node by node, in the order of its text."""

    def __init__(self, tree: ast.Module) -> None:
        self._constants = Constants(tree)
        self._loader = next((call for call in loaders_of(tree) if not self._constants.is_dead(call)), None)
        self.readings: dict[str, Reading] = {}
        self.unread: dict[str, Unread] = {}
        self.notes: list[Note] = []
        self._step_size: ast.expr | None = None

    def read(self, node: ast.AST) -> None:
        """Read one node; nodes in a branch that is never taken are ignored."""
        if isinstance(node, ast.Call):
            if not self._constants.is_dead(node):
                self._read_call(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            name = next((flag for end, flag in _FLAGS.items() if ast.unparse(node.targets[0]).endswith(end)), None)
            if name is not None and not self._constants.is_dead(node):
                self._take(name, node.value)
        elif isinstance(node, ast.For) and "epoch" in ast.unparse(node.target):
            self._read_epochs(node.iter)

    def end(self) -> None:
        """Finish after the last node: settings that depend on others, and notes on those that were not found."""
        epochs, size = self._known("epochs"), self._value(self._step_size) if self._step_size is not None else None
        if self._step_size is not None and isinstance(epochs, int) and isinstance(size, int) and size > 0:
            self._put("schedule_step", min(1.0, round(size / max(1, epochs), 6)), self._step_size)
        elif self._step_size is not None:
            unread = Unread("schedule_step", ast.unparse(self._step_size), self._step_size.lineno)
            self.unread.setdefault("schedule_step", unread)
        has_own_lr = "optimizer" in self.readings  # torch's default holds
        for name, (what, habits) in _WANTED.items():
            if name not in self.readings and name not in self.unread and not (name == "lr" and has_own_lr):
                self.notes.append(self._missing(what, habits))

    def _missing(self, what: str, habits: Sequence[str]) -> Note:
        for habit in habits:
            found = self._constants.at_top(habit)
            if found is not None and self._value(found) is not None:
                return Note(found.lineno, f"{what}; {habit}, which is {self._value(found)}, may be it: write it there")
        return Note(None, f"{what}; the spec has a guess")

    def _read_epochs(self, node: ast.expr) -> None:
        """Read the number of epochs from ``range(...)``, also inside ``tqdm(...)``."""
        while isinstance(node, ast.Call) and _name_of(node) in {"tqdm", "track", "progress_bar"} and node.args:
            node = node.args[0]
        if isinstance(node, ast.Call) and _name_of(node) in {"range", "trange"} and node.args:
            start, *stop = node.args[:2]
            count = ast.BinOp(left=stop[0], op=ast.Sub(), right=start) if stop else start
            self._take("epochs", ast.copy_location(count, node))

    def _read_call(self, call: ast.Call) -> None:
        name = self._class_of(call)
        facts = next((facts for facts in OPTIMIZERS.values() if facts.class_name == name), None)
        if facts is not None:
            self._read_optimizer(call, facts)
        elif call is self._loader:
            self._read_loader(call)
        elif name in _SCHEDULES or name in _OTHER_SCHEDULES or name.endswith("_schedule_with_warmup"):
            self._read_schedule(call, name)
        elif name in _CALLS:
            _CALLS[name](self, call)
        elif (framework := read_framework(call)) is not None:
            self._read_framework(framework)

    def _class_of(self, call: ast.Call) -> str:
        """The name of the called class, also for ``getattr(torch.optim, "Adam")(...)``."""
        match call.func:
            case ast.Call(func=ast.Name(id="getattr"), args=[_, name]):
                return str(self._value(name))
            case _:
                return _name_of(call)

    def _read_framework(self, framework: Framework) -> None:
        for setting in framework.settings:
            if setting.value is None:
                self._take(setting.name, setting.node)
            else:
                self._put(setting.name, setting.value, setting.node)
        self.notes += [Note(line, text) for line, text in framework.notes]

    def _read_loader(self, call: ast.Call) -> None:
        given = dict(zip(_LOADER, call.args, strict=False)) | self._keywords(call)
        for key in _LOADER_KEYS:
            if key in given:
                self._take(key, given[key])
        if "batch_sampler" in given:
            self._note(call, "the batch_sampler of the DataLoader is not read: batches are of one size here")

    def _read_schedule(self, call: ast.Call, name: str) -> None:
        if name not in _SCHEDULES:
            self._note(call, f"the schedule {name} is none of a spec's: constant, cosine, one_cycle or step")
            return
        self._put("schedule", _SCHEDULES[name], call)
        given = self._keywords(call)
        if name in {"StepLR", "ExponentialLR"}:
            places = ("optimizer", "step_size", "gamma") if name == "StepLR" else ("optimizer", "gamma")
            given = dict(zip(places, call.args, strict=False)) | given
            self._step_size = given.get("step_size", ast.Constant(value=1, lineno=call.lineno))
            if "gamma" in given:
                self._take("schedule_gamma", given["gamma"])

    def _read_optimizer(self, call: ast.Call, facts: OptimizerFacts) -> None:
        if "optimizer" in self.readings:
            self._note(call, f"another optimizer, {facts.class_name}, is not read")
            return
        self._put("optimizer", facts.name, call)
        given = self._keywords(call)
        if len(call.args) > 1:
            given = {"lr": call.args[1], **given}
        if call.args and _has_groups(call.args[0]):
            self._note(call, "its groups of parameters have settings of their own, which are not read")
        for key, node in given.items():
            self._read_argument(key, node, facts)

    def _read_argument(self, key: str, node: ast.expr, facts: OptimizerFacts) -> None:
        if key in facts.tuples:
            self._take_tuple(facts.tuples[key], node)
        elif key in {"fused", "foreach"}:
            self._read_implementation(key, node)
        elif key in facts.arguments:
            self._take(key, node)

    def _read_implementation(self, key: str, node: ast.expr) -> None:
        name = _IMPLEMENTATIONS.get((key, self._value(node) is True))
        if name is not None and self._value(node) is not None:
            self._put("optimizer_impl", name, node)

    def _keywords(self, call: ast.Call) -> dict[str, ast.expr]:
        """The call's keyword arguments, those of ``**settings`` included where the script has the dictionary."""
        found = _keywords(call)
        for keyword in call.keywords:
            if keyword.arg is None:
                told = self._constants.entries(keyword.value)
                if told is None:
                    self._note(call, f"what **{ast.unparse(keyword.value)} holds is not read")
                found = {**(told or {}), **found}
        return found

    def _known(self, name: str) -> Scalar:
        return self.readings[name].value if name in self.readings else None

    def _note(self, node: ast.expr, text: str) -> None:
        self.notes.append(Note(node.lineno, text))

    def read_compile(self, call: ast.Call) -> None:
        """Read ``torch.compile`` with its mode."""
        mode = _keywords(call).get("mode")
        self._put("compile", "default", call) if mode is None else self._take("compile", mode)

    def read_autocast(self, call: ast.Call) -> None:
        """Read the type that autocast computes in."""
        dtype = _keywords(call).get("dtype")
        name = ast.unparse(dtype).rpartition(".")[2] if dtype is not None else "float16"
        if name in _PRECISIONS:
            self._put("precision", _PRECISIONS[name], call)

    def read_memory_format(self, call: ast.Call) -> None:
        """Read ``to(memory_format=torch.channels_last)``."""
        layout = _keywords(call).get("memory_format")
        if layout is not None and ast.unparse(layout).endswith("channels_last"):
            self._put("channels_last", value=True, node=call)

    def read_matmul_precision(self, call: ast.Call) -> None:
        """Read ``set_float32_matmul_precision`` under the newer name of the same switch, which races use."""
        word = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if word in _MATMUL_PRECISIONS:
            self._put("fp32_precision_matmul", _MATMUL_PRECISIONS[str(word)], call)

    def read_clipping(self, call: ast.Call) -> None:
        """Read the largest norm of a gradient."""
        node = call.args[1] if len(call.args) > 1 else _keywords(call).get("max_norm")
        if node is not None:
            self._take("gradient_clip", node)

    def take_first(self, name: str, call: ast.Call) -> None:
        """Read the call's first argument as the parameter of this name."""
        if call.args:
            self._take(name, call.args[0])

    def _take_tuple(self, names: tuple[str, ...], node: ast.expr) -> None:
        if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == len(names):
            for name, element in zip(names, node.elts, strict=True):
                self._take(name, element)
        elif isinstance(value := self._value(node), tuple) and len(value) == len(names):
            for name, each in zip(names, value, strict=True):
                self._put(name, each if not isinstance(each, tuple) else None, node)
        else:
            for name in names:
                self.unread.setdefault(name, Unread(name, ast.unparse(node), node.lineno))

    def _take(self, name: str, node: ast.expr) -> None:
        try:
            value: Value = self._constants.value(node)
        except UnknownValueError as error:
            self.unread.setdefault(name, Unread(name, str(error), node.lineno))
            return
        if isinstance(value, float) and name in _WHOLE and value == int(value):
            value = int(value)
        if value is None or isinstance(value, tuple) or (name in _NUMBERS and not _is_number(value)):
            self.unread.setdefault(name, Unread(name, ast.unparse(node), node.lineno))
            return
        self._put(name, value, node)

    def _value(self, node: ast.expr) -> Value:
        """The expression's value; None where the text does not tell it."""
        try:
            return self._constants.value(node)
        except UnknownValueError:
            return None

    def _put(self, name: str, value: Scalar, node: ast.expr) -> None:
        self.readings.setdefault(name, Reading(name, value, node.lineno))


_CALLS: Mapping[str, Callable[[Reader, ast.Call], None]] = {
    "compile": Reader.read_compile,
    "autocast": Reader.read_autocast,
    "to": Reader.read_memory_format,
    "clip_grad_norm_": Reader.read_clipping,
    "set_num_threads": lambda reader, call: reader.take_first("torch_threads", call),
    "set_float32_matmul_precision": Reader.read_matmul_precision,
    "manual_seed": lambda reader, call: reader.take_first("seed", call),
    "seed_everything": lambda reader, call: reader.take_first("seed", call),
}


def _name_of(call: ast.Call) -> str:
    """The last word of what is called: ``Adam`` of ``torch.optim.Adam(...)``."""
    return ast.unparse(call.func).rpartition(".")[2]


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_groups(node: ast.expr) -> bool:
    """Whether parameter groups have settings of their own: ``[{"params": ..., "lr": ...}, ...]``."""
    tables = [table for table in ast.walk(node) if isinstance(table, ast.Dict)]
    return any(len(table.keys) > 1 for table in tables)
