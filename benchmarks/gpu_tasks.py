"""What ``benchmarks/gpu.py`` trains: networks of convolutions and of attention, each fed by a real loader.

The data is made up and its reading is not: a picture is cropped, flipped and turned into floats where a
decoded one would be, a text is cut from a corpus and some of its tokens are masked. ResNets are written out,
since torchvision may not be there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from typing_extensions import override

from autotune.events import Scalar
from autotune.training import Task
from autotune.training.parameters import Parameters

_NUM_CLASSES = 1000
_NUM_PICTURES = 64
"""Held decoded; a dataset is longer and shows each of them again and again."""
_VOCABULARY = 10_000
_CORPUS_TOKENS = 2**20
_MASK = 0
_MASKED_SHARE = 0.15
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Decoded pictures of 8 bits, with a random crop, a random flip and normalisation for each sample."""

    def __init__(self, *, pixels: int, num_samples: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._pixels = pixels
        self._num_samples = num_samples
        self._margin = max(1, pixels // 7)  # 256 to 224
        side = pixels + self._margin
        self._decoded = torch.randint(256, (_NUM_PICTURES, 3, side, side), dtype=torch.uint8, generator=generator)
        self._mean = torch.tensor(_MEAN).view(3, 1, 1)
        self._scale = 1 / (255 * torch.tensor(_STD).view(3, 1, 1))

    def __len__(self) -> int:
        return self._num_samples

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        top, left, is_flipped = torch.randint(self._margin + 1, (3,)).tolist()
        picture = self._decoded[index % _NUM_PICTURES, :, top : top + self._pixels, left : left + self._pixels]
        if is_flipped % 2:
            picture = picture.flip(-1)
        return (picture.float() - 255 * self._mean) * self._scale, index % _NUM_CLASSES


class Texts(Dataset[tuple[Tensor, int]]):
    """Windows of a corpus of tokens, some of them masked."""

    def __init__(self, *, length: int, num_samples: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._length = length
        self._num_samples = num_samples
        self._corpus = torch.randint(1, _VOCABULARY, (_CORPUS_TOKENS,), generator=generator)

    def __len__(self) -> int:
        return self._num_samples

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        start = int(torch.randint(_CORPUS_TOKENS - self._length, ()))
        window = self._corpus[start : start + self._length].clone()
        window[torch.rand(self._length) < _MASKED_SHARE] = _MASK
        return window, index % _NUM_CLASSES


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015, arXiv 1512.03385, figure 5, left)."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels_in, channels, kernel=3, stride=stride),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels, kernel=3),
        )
        self.shortcut = _shortcut(channels_in, channels, stride=stride)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.body(inputs) + self.shortcut(inputs))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut (figure 5, right), the stride in the 3x3 as in torchvision."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels_in, channels, kernel=1),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels, kernel=3, stride=stride),
            nn.ReLU(inplace=True),
            *_convolution(channels, 4 * channels, kernel=1),
        )
        self.shortcut = _shortcut(channels_in, 4 * channels, stride=stride)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.body(inputs) + self.shortcut(inputs))


def _convolution(channels_in: int, channels: int, *, kernel: int, stride: int = 1) -> Iterator[nn.Module]:
    yield nn.Conv2d(channels_in, channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    yield nn.BatchNorm2d(channels)


def _shortcut(channels_in: int, channels: int, *, stride: int) -> nn.Module:
    if stride == 1 and channels_in == channels:
        return nn.Identity()
    return nn.Sequential(*_convolution(channels_in, channels, kernel=1, stride=stride))


def resnet(block: type[BasicBlock | Bottleneck], depths: tuple[int, ...], *, width: int) -> nn.Module:
    """A ResNet with torchvision's stem and head; ``width`` is 64 for the real ones."""
    layers: list[nn.Module] = [
        *_convolution(3, width, kernel=7, stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    channels_in = width
    for stage, depth in enumerate(depths):
        channels = width * 2**stage
        for number in range(depth):
            layers.append(block(channels_in, channels, stride=2 if stage and number == 0 else 1))
            channels_in = channels * block.expansion
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels_in, _NUM_CLASSES))


class Encoder(nn.Module):
    """Token and position embeddings, layers of attention, and a class for the mean of what comes out."""

    def __init__(self, *, length: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(_VOCABULARY, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, _NUM_CLASSES)

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(self.tokens(tokens) + self.positions).mean(1))
        return logits


class _Pictured(Task):
    """Reads ``pixels``, ``width`` and ``samples``."""

    @override
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Pictures(pixels=params.pixels, num_samples=params.samples)

    @override
    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return Pictures(pixels=params.pixels, num_samples=params.batch_size)


class ConvNet(_Pictured):
    """A plain stack of convolutions."""

    @override
    def model(self, params: Parameters) -> nn.Module:
        layers: list[nn.Module] = []
        channels_in = 3
        for stage in range(5):
            channels = params.width * 2**stage
            layers += [*_convolution(channels_in, channels, kernel=3, stride=2), nn.ReLU(inplace=True)]
            layers += [*_convolution(channels, channels, kernel=3), nn.ReLU(inplace=True)]
            channels_in = channels
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels_in, _NUM_CLASSES))


class ResNet18(_Pictured):
    """ResNet-18."""

    @override
    def model(self, params: Parameters) -> nn.Module:
        return resnet(BasicBlock, (2, 2, 2, 2), width=params.width)


class ResNet50(_Pictured):
    """ResNet-50."""

    @override
    def model(self, params: Parameters) -> nn.Module:
        return resnet(Bottleneck, (3, 4, 6, 3), width=params.width)


class Transformer(Task):
    """An encoder; reads ``length``, ``width``, ``heads``, ``layers`` and ``samples``."""

    @override
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Texts(length=params.length, num_samples=params.samples)

    @override
    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return Texts(length=params.length, num_samples=params.batch_size)

    @override
    def model(self, params: Parameters) -> nn.Module:
        return Encoder(length=params.length, width=params.width, heads=params.heads, layers=params.layers)


@dataclass(frozen=True)
class Workload:
    """A task with its sizes."""

    name: str
    task: type[Task]
    batch_size: int
    sizes: dict[str, Scalar]
    tiny: dict[str, Scalar]
    """Sizes for a run that only shows that the script works."""
    has_convolutions: bool
    run_steps: int
    """Of a whole training, as it is usual: what compiling costs is charged against so many."""
    is_rivals: bool = False
    """One of those that pytorch-autotune publishes figures for."""
    learning: dict[str, Scalar] = field(default_factory=lambda: {"optimizer": "adamw", "lr": 1e-3})

    def parameters(self, *, is_tiny: bool, steps_per_epoch: int) -> dict[str, Scalar]:
        """All learning parameters, with a dataset of so many batches."""
        batch_size = 8 if is_tiny else self.batch_size
        sizes = self.tiny if is_tiny else self.sizes
        return {**self.learning, **sizes, "batch_size": batch_size, "samples": batch_size * steps_per_epoch}

    @property
    def reference(self) -> str:
        """The task as a spec names it."""
        return f"{__name__}:{self.task.__name__}"


_IMAGENET_STEPS = 90 * 1_281_167 // 64
"""90 epochs, as in arXiv 1512.03385 (about), of batches of 64."""
_CIFAR_STEPS = 200 * 50_000 // 128
"""200 epochs, as is usual for ResNets at 32 px, of batches of 128."""
_TEXT_STEPS = 100_000
"""Of the base model of arXiv 1706.03762."""
_TINY_PICTURES: dict[str, Scalar] = {"pixels": 32, "width": 4}
_TINY_TEXTS: dict[str, Scalar] = {"length": 16, "width": 16, "heads": 2, "layers": 1}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "convnet",
            ConvNet,
            64,
            {"pixels": 224, "width": 64},
            _TINY_PICTURES,
            has_convolutions=True,
            run_steps=_IMAGENET_STEPS,
        ),
        Workload(
            "transformer-small",
            Transformer,
            128,
            {"length": 64, "width": 256, "heads": 4, "layers": 4},
            _TINY_TEXTS,
            has_convolutions=False,
            run_steps=_TEXT_STEPS,
        ),
        Workload(
            "resnet50",
            ResNet50,
            64,
            {"pixels": 224, "width": 64},
            _TINY_PICTURES,
            has_convolutions=True,
            run_steps=_IMAGENET_STEPS,
            is_rivals=True,
        ),
        Workload(
            "resnet18",
            ResNet18,
            128,
            {"pixels": 32, "width": 64},
            _TINY_PICTURES,
            has_convolutions=True,
            run_steps=_CIFAR_STEPS,
            is_rivals=True,
        ),
        Workload(
            "transformer",
            Transformer,
            32,
            # Its page names layers, length and batch; the width is that of the base model of arXiv 1706.03762.
            {"length": 128, "width": 512, "heads": 8, "layers": 6},
            _TINY_TEXTS,
            has_convolutions=False,
            run_steps=_TEXT_STEPS,
            is_rivals=True,
        ),
    )
}
"""By name."""
