"""Seeds, and the state of every generator of random numbers that training draws from."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

_MAX_NUMPY_SEED = 2**32


class RngState(TypedDict):
    """All generators' states, in types that ``torch.load(weights_only=True)`` accepts."""

    torch: Tensor
    cuda: Tensor | None
    numpy: Tensor
    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float
    python: Tensor
    python_version: int
    python_gauss: float | None


def derive_seed(*parts: int | str) -> int:
    """A seed below 2**63 that depends on the parts alone, on any machine."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (all devices), numpy and Python."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % _MAX_NUMPY_SEED)  # noqa: NPY002 - datasets of users draw from the global generator


def seed_loading(seed: int) -> None:
    """Seed what samples are drawn with; ``torch.manual_seed`` would visit every device, which takes 80 us."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % _MAX_NUMPY_SEED)  # noqa: NPY002 - as above


def capture_rng(device: torch.device) -> RngState:
    """The states of all generators now, with that of ``device`` where it is a CUDA device."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - as above
    version, words, python_gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "numpy_position": int(position),
        "numpy_has_gauss": int(has_gauss),
        "numpy_gauss": float(gauss),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_version": version,
        "python_gauss": python_gauss,
    }


def restore_rng(state: RngState, *, device: torch.device) -> None:
    """Give the generators these states; a CUDA device's only where the state has one and ``device`` is one."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    keys = state["numpy"].numpy().astype(np.uint32)
    np.random.set_state(  # noqa: NPY002 - as above
        ("MT19937", keys, state["numpy_position"], state["numpy_has_gauss"], state["numpy_gauss"])
    )
    random.setstate((state["python_version"], tuple(state["python"].tolist()), state["python_gauss"]))


@contextmanager
def undisturbed_rng(device: torch.device) -> Iterator[None]:
    """Leave the generators as they were, whatever is drawn inside."""
    state = capture_rng(device)
    try:
        yield
    finally:
        restore_rng(state, device=device)
