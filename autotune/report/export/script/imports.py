"""The import lines of a script: of all that its parts may need, what they use."""

import re

_PLAIN = ("hashlib", "inspect", "math", "os", "random", "runpy", "sys", "torch")
_FROM = {
    "abc": ("ABC", "abstractmethod"),
    "collections": ("deque",),
    "collections.abc": ("Callable", "Iterable", "Iterator", "Mapping", "Sized"),
    "contextlib": ("contextmanager", "nullcontext", "suppress"),
    "dataclasses": ("dataclass",),
    "functools": ("partial",),
    "itertools": ("chain", "pairwise"),
    "operator": ("attrgetter", "is_", "itemgetter"),
    "pathlib": ("Path",),
    "types": ("BuiltinFunctionType", "CellType", "FunctionType", "MethodType", "ModuleType", "SimpleNamespace"),
    "typing": ("Any", "ClassVar"),
    "torch": ("Tensor", "nn"),
    "torch.nn": ("functional",),
    "torch.nn.utils.rnn": ("PackedSequence", "pack_sequence", "unpack_sequence"),
    "torch.optim": ("Optimizer",),
    "torch.optim.lr_scheduler": ("LambdaLR",),
    "torch.utils.data": ("DataLoader", "Dataset", "default_collate"),
}
_STANDARD = (
    "abc",
    "collections",
    "collections.abc",
    "contextlib",
    "dataclasses",
    "functools",
    "itertools",
    "operator",
    "pathlib",
    "types",
    "typing",
)


def import_lines(body: str) -> str:
    """Imports for the text that follows them, standard library first; annotations are never evaluated."""
    used = set(re.findall(r"\w+", body))
    plain = [f"import {name}" for name in _PLAIN if name in used and name != "torch"]
    others = {
        module: f"from {module} import {', '.join(name for name in names if name in used)}"
        for module, names in _FROM.items()
        if used.intersection(names)
    }
    standard = plain + [line for module, line in others.items() if module in _STANDARD]
    foreign = ["import numpy as np", "import torch"]
    foreign += [line for module, line in others.items() if module not in _STANDARD]
    return "\n".join(["from __future__ import annotations", "", *standard, "", *foreign])
