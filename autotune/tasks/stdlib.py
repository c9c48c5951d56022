"""Paragraphs of Python's own standard library, for a language model of their characters: text that is on every machine.

A paragraph is what stands between two blank lines of a module. Which texts there are depends on the version of
Python, which is recorded with every trial: compare losses within one version alone.
"""

import math
import re
import sysconfig
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from autotune.training import InfeasibleError, Task
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters

FOLDER = Path(sysconfig.get_paths()["stdlib"])
"""Where the modules are; a Python may come without their source."""
_TRAIN_MODULES, _VALIDATION_MODULES = "[a-o]*.py", "[p-r]*.py"
"""Modules are split by first letter, so that no file is used for both training and validation."""
_NUM_TRAIN, _NUM_VALIDATION = 1_500, 300
_SHORTEST, _LONGEST = 24, 95
"""Limits on the length of a text, in characters."""
_SEED = 0

_NUM_CHARACTERS = 128
"""Size of the vocabulary, ASCII. NUL occurs in no text, and marks the beginning and the end of each."""
_ABSENT = -100
"""The target at padded places, which cross_entropy ignores."""
_MULTIPLE = 16
"""Padded lengths are multiples of this, so that ``compile`` and the kernels of a GPU see few shapes."""


class Stdlib(Task):
    """A transformer: ``depth`` blocks of ``width`` features in ``heads`` attention heads, and ``dropout``."""

    def setup(self) -> None:
        """Read the modules, and draw 1,500 texts for training and 300 for validation, always the same."""
        held_out = _read_paragraphs(_VALIDATION_MODULES)
        seen = set(held_out)
        self.train_texts = _draw((text for text in _read_paragraphs(_TRAIN_MODULES) if text not in seen), _NUM_TRAIN)
        self.validation_texts = _draw(held_out, _NUM_VALIDATION)

    def train_data(self, params: Parameters) -> "Texts":
        """1,500 texts of 24 to 95 characters."""
        del params
        return Texts(self.train_texts)

    def validation_data(self, params: Parameters) -> "Texts":
        """300 texts, from modules of their own."""
        del params
        return Texts(self.validation_texts)

    def collate(self, samples: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Characters and the ones that follow them, (N, T) int64 each; T is the longest text's length, rounded up."""
        longest = max(len(sample) for sample in samples) - 1
        inputs = torch.zeros(len(samples), -(-longest // _MULTIPLE) * _MULTIPLE, dtype=torch.int64)
        targets = torch.full_like(inputs, _ABSENT)
        for row, sample in enumerate(samples):
            inputs[row, : len(sample) - 1] = sample[:-1]
            targets[row, : len(sample) - 1] = sample[1:]
        return inputs, targets

    def model(self, params: Parameters) -> nn.Module:
        """(N, T) characters in, (N, T, 128) scores of the next ones out."""
        width, heads = params.get("width", 64), params.get("heads", 4)
        if width % heads:
            raise InfeasibleError(f"heads: must divide width, got {heads} heads for a width of {width}")
        return _Transformer(width=width, heads=heads, depth=params.get("depth", 2), dropout=params.get("dropout", 0.0))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over characters, in nats."""
        return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=_ABSENT)

    def count(self, batch: Batch) -> Tensor:
        """Characters that are predicted: what the loss is the mean over, and not the texts, which differ in length."""
        _, targets = batch
        count: Tensor = (targets != _ABSENT).sum()
        return count

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The share of characters that are predicted right."""
        is_right = outputs.argmax(dim=-1) == targets
        return {"accuracy": is_right.sum().double() / (targets != _ABSENT).sum()}

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Mapping[str, Tensor | float]:
        """Loss and accuracy, and the loss in two other units: perplexity, and bits a character."""
        values = super().evaluate(model, batches)
        loss = float(values["loss"])
        return {**values, "perplexity": math.exp(loss), "bits_per_character": loss / math.log(2)}


class Texts(Dataset[Tensor]):
    """Each text as its characters' codes, int64, between two NULs."""

    def __init__(self, texts: list[bytes]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        """The number of texts."""
        return len(self.texts)

    def __getitem__(self, index: int) -> Tensor:
        return torch.frombuffer(bytearray(b"\0" + self.texts[index] + b"\0"), dtype=torch.uint8).long()


class _Transformer(nn.Module):
    """A decoder with normalisation before each part (GPT-2; Radford et al. 2019), and learned positions."""

    def __init__(self, *, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.characters = nn.Embedding(_NUM_CHARACTERS, width)
        self.positions = nn.Embedding(_LONGEST + 1, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(_Block(width=width, heads=heads, dropout=dropout) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, _NUM_CHARACTERS))

    def forward(self, characters: Tensor) -> Tensor:
        """(N, T) codes in, (N, T, characters) scores out."""
        positions = torch.arange(characters.shape[1], device=characters.device)
        features = self.dropout(self.characters(characters) + self.positions(positions))
        scores: Tensor = self.head(self.blocks(features))
        return scores


class _Block(nn.Module):
    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, features: Tensor) -> Tensor:
        """(N, T, width) in and out."""
        features = features + self.dropout(self._attend(self.before_attention(features)))
        mixed: Tensor = features + self.dropout(self.mlp(self.before_mlp(features)))
        return mixed

    def _attend(self, features: Tensor) -> Tensor:
        # (N, T, 3 * width) -> three of (N, heads, T, width / heads). Padding stands behind every text, and no
        # character attends to what follows it: so no mask is needed, and every implementation may run.
        query, key, value = self.attention_in(features).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed: Tensor = self.attention_out(attended.transpose(1, 2).flatten(2))
        return mixed


def _read_paragraphs(modules: str) -> list[bytes]:
    """ASCII paragraphs of the right length, each once, without the indentation that all its lines share."""
    paragraphs: dict[bytes, None] = {}
    for file in sorted(FOLDER.glob(modules)):
        for block in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            text = textwrap.dedent(block).strip("\n")
            if text.isascii() and "\0" not in text and _SHORTEST <= len(text) <= _LONGEST:
                paragraphs[text.encode()] = None
    return list(paragraphs)


def _draw(texts: Iterable[bytes], number: int) -> list[bytes]:
    texts = list(texts)
    if len(texts) < number:
        raise FileNotFoundError(f"{FOLDER}: needs Python's modules as source, got {len(texts)} texts of {number}")
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(_SEED))
    return [texts[index] for index in order[:number]]
