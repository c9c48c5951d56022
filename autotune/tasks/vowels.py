"""Spoken vowels, two in each utterance, of speakers made by a formula: speech without a download.

A source-filter model (Fant 1960, Acoustic Theory of Speech Production): pulses of the vocal folds pass the resonances
of a vocal tract. Their frequencies are the averages of 76 men, women and children of Peterson & Barney 1952 ("Control
methods used in a study of the vowels", J. Acoust. Soc. Am. 24, table II), around which speakers and utterances vary.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, permutations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from autotune.training import InfeasibleError, Task
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters

_FREQUENCIES = {
    "heed": ((136, 270, 2290, 3010), (235, 310, 2790, 3310), (272, 370, 3200, 3730)),
    "hid": ((135, 390, 1990, 2550), (232, 430, 2480, 3070), (269, 530, 2730, 3600)),
    "head": ((130, 530, 1840, 2480), (223, 610, 2330, 2990), (260, 690, 2610, 3570)),
    "hod": ((124, 730, 1090, 2440), (212, 850, 1220, 2810), (256, 1030, 1370, 3170)),
    "hood": ((137, 440, 1020, 2240), (232, 470, 1160, 2680), (276, 560, 1410, 3310)),
    "who'd": ((141, 300, 870, 2240), (231, 370, 950, 2670), (274, 430, 1170, 3260)),
}
"""Pitch and first three formants, in Hz, of the vowel in each word: for men, for women and for children."""
_BANDWIDTHS = torch.tensor([60.0, 90.0, 150.0])
"""Bandwidths of the three formants, in Hz."""
WORDS = tuple(permutations(range(len(_FREQUENCIES)), 2))
"""The classes: every ordered pair of two different vowels."""

_NUM_TRAIN_SPEAKERS, _NUM_VALIDATION_SPEAKERS = 60, 20
_SAMPLE_RATE = 8_000
_WINDOW, _HOP = 256, 80
"""Length and distance of the analysis windows, in samples: 32 ms every 10 ms."""
_NUM_BANDS = 40


class Vowels(Task):
    """Convolutions over time, or a GRU: ``network`` with ``width``, ``depth`` and ``dropout``.

    ``frequency_mask`` and ``time_mask`` are the most that training hides of an utterance's bands and frames, as shares
    (SpecAugment; Park et al. 2019, arXiv 1904.08779).
    """

    def train_data(self, params: Parameters) -> "Utterances":
        """Every word by each of 60 speakers."""
        del params
        return Utterances(range(_NUM_TRAIN_SPEAKERS))

    def validation_data(self, params: Parameters) -> "Utterances":
        """Every word by each of 20 other speakers."""
        del params
        return Utterances(range(_NUM_TRAIN_SPEAKERS, _NUM_TRAIN_SPEAKERS + _NUM_VALIDATION_SPEAKERS))

    def collate(self, samples: list[tuple[Tensor, int]]) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Features, (N, 40, T) with zeros behind the shorter ones; their numbers of frames, (N,); words, (N,)."""
        features = pad_sequence([features for features, _ in samples], batch_first=True).transpose(1, 2)
        lengths = torch.tensor([len(features) for features, _ in samples])
        return (features, lengths), torch.tensor([word for _, word in samples])

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores (N, words) and words (N,)."""
        (features, lengths), words = batch
        return model(features, lengths), words

    def model(self, params: Parameters) -> nn.Module:
        """40 bands a frame in, 30 words out."""
        width, depth = params.get("width", 32), params.get("depth", 2)
        network = params.get("network", "conv")
        if network == "conv":
            layers: nn.Module = _Convolutions(width=width, depth=depth, kernel_size=params.get("kernel_size", 5))
        elif network == "gru":
            layers = _Gru(width=width, depth=depth)
        else:
            raise InfeasibleError(f"network: must be conv or gru, got {network!r}")
        mask = _Mask(bands=params.get("frequency_mask", 0.0), frames=params.get("time_mask", 0.0))
        return _Listener(mask, layers, width=width, dropout=params.get("dropout", 0.0))


class Utterances(Dataset[tuple[Tensor, int]]):
    """Every word by each speaker: log-mel features, (T, 40) float32, and the word's number.

    An utterance is made anew each time, as a file would be decoded: always the same, and the costly part of a step.
    """

    def __init__(self, speakers: range) -> None:
        self.speakers = speakers

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self.speakers) * len(WORDS)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        place, word = divmod(index, len(WORDS))
        speaker = self.speakers[place]
        generator = torch.Generator().manual_seed(1 + speaker * len(WORDS) + word)
        return log_mel(_speak(_speaker(speaker), word, generator)), word


@dataclass(frozen=True)
class _Speaker:
    frequencies: Tensor
    """(vowels, 4): pitch and formants, in Hz."""
    seconds: float
    """Mean length of an utterance, in seconds."""
    tilt: float
    """Slope of the source's spectrum, in decibels an octave; negative, since it falls."""


@cache
def _speaker(number: int) -> _Speaker:
    """A man, a woman or a child by turns, whose tract, pitch and habits differ from the mean."""
    generator = torch.Generator().manual_seed(-1 - number)
    means = torch.tensor([groups[number % 3] for groups in _FREQUENCIES.values()])
    pitch, tract, rate, tilt = torch.randn(4, generator=generator).tolist()
    habits = 1 + 0.04 * torch.randn(means.shape, generator=generator)
    factors = torch.tensor([1 + 0.12 * pitch, *[1 + 0.06 * tract] * 3])
    return _Speaker(means * habits * factors, seconds=0.35 * 1.15**rate, tilt=-8 + 2 * tilt)


def _speak(speaker: _Speaker, word: int, generator: torch.Generator) -> Tensor:
    """The sound pressure, (samples,): a glide from the word's first vowel to the second, in noise."""
    seconds, middle, noise, pitch = torch.rand(4, generator=generator).tolist()
    num_samples = round(speaker.seconds * (0.7 + 0.6 * seconds) * _SAMPLE_RATE)
    start, end = speaker.frequencies[list(WORDS[word])] * (1 + 0.05 * torch.randn(2, 4, generator=generator))
    progress = torch.linspace(0, 1, num_samples)
    share = torch.sigmoid((progress - 0.3 - 0.4 * middle) / 0.08)[:, None]
    track = start + (end - start) * share  # (samples, 4), in Hz
    phase = torch.cumsum(track[:, 0] * (1.1 - 0.2 * progress) * (0.9 + 0.2 * pitch) / _SAMPLE_RATE, dim=0)
    pulses = functional.pad(phase.floor().diff(), (1, 0)) + 0.02 * torch.randn(num_samples, generator=generator)
    voice = resonate(pulses, track[:, 1:], tilt=speaker.tilt)
    background = torch.randn(num_samples, generator=generator)
    decibels = 5 + 20 * noise  # level of the voice above the background
    return voice / voice.std() + background * math.pow(10, -decibels / 20)


def resonate(source: Tensor, formants: Tensor, *, tilt: float) -> Tensor:
    """The source, (samples,), through each moment's formants, (samples, 3) in Hz; ``tilt`` is in decibels an octave."""
    window = torch.hann_window(_WINDOW)
    spectrum = torch.stft(source, _WINDOW, _HOP, window=window, return_complex=True)  # (frequencies, frames)
    frequencies = torch.linspace(0, _SAMPLE_RATE / 2, _WINDOW // 2 + 1)[:, None, None]
    centres = formants[::_HOP][: spectrum.shape[1]]
    centres = torch.cat([centres, centres[-1:].expand(spectrum.shape[1] - len(centres), -1)])
    poles = centres**2 / torch.complex(centres**2 - frequencies**2, frequencies * _BANDWIDTHS)
    slope = (frequencies[..., 0].clamp(min=50) / 100) ** (tilt / 6.02)
    return torch.istft(spectrum * poles.prod(dim=2) * slope, _WINDOW, _HOP, window=window, length=len(source))


def log_mel(samples: Tensor) -> Tensor:
    """(frames, 40) float32: logarithms of the energy in each band, with mean 0 and deviation 1 over the utterance."""
    spectrum = torch.stft(samples, _WINDOW, _HOP, window=torch.hann_window(_WINDOW), return_complex=True)
    energies = _mel_filters() @ spectrum.abs() ** 2
    features = torch.log(energies + 1e-6).T
    return (features - features.mean()) / features.std()


@cache
def _mel_filters() -> Tensor:
    """(40, frequencies): triangles, evenly spaced on the mel scale (O'Shaughnessy 1987): 2595 log10(1 + f / 700)."""
    top = 2595 * torch.log10(torch.tensor(1 + _SAMPLE_RATE / 2 / 700))
    corners = 700 * (10 ** (torch.linspace(0, 1, _NUM_BANDS + 2) * top / 2595) - 1)
    frequencies = torch.linspace(0, _SAMPLE_RATE / 2, _WINDOW // 2 + 1)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rise, fall = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return torch.minimum(rise, fall).clamp(min=0)


class _Listener(nn.Module):
    """Layers from bands to features of each frame, whose mean over an utterance's own frames tells the word."""

    def __init__(self, mask: nn.Module, layers: nn.Module, *, width: int, dropout: float) -> None:
        super().__init__()
        self.mask, self.layers = mask, layers
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, len(WORDS)))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, 40, T) and (N,) in, (N, words) out."""
        is_own = (torch.arange(features.shape[2], device=features.device) < lengths[:, None])[:, None]
        frames = self.layers(self.mask(features), is_own)
        scores: Tensor = self.head((frames * is_own).sum(dim=2) / lengths[:, None])
        return scores


class _Convolutions(nn.Module):
    """Convolutions whose outputs behind an utterance's end are set to 0, so that padding changes nothing."""

    def __init__(self, *, width: int, depth: int, kernel_size: int) -> None:
        super().__init__()
        widths = [_NUM_BANDS, *[width] * depth]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv1d(before, after, kernel_size, padding="same"), nn.BatchNorm1d(after), nn.ReLU())
            for before, after in pairwise(widths)
        )

    def forward(self, features: Tensor, is_own: Tensor) -> Tensor:
        """(N, 40, T) and (N, 1, T) bool in, (N, width, T) out."""
        for layer in self.layers:
            features = layer(features) * is_own
        return features


class _Gru(nn.Module):
    """A GRU that reads forwards only, so that the padding behind an utterance changes none of its frames."""

    def __init__(self, *, width: int, depth: int) -> None:
        super().__init__()
        self.gru = nn.GRU(_NUM_BANDS, width, num_layers=depth, batch_first=True)

    def forward(self, features: Tensor, is_own: Tensor) -> Tensor:
        """(N, 40, T) and (N, 1, T) bool in, (N, width, T) out."""
        del is_own
        states, _ = self.gru(features.transpose(1, 2))
        frames: Tensor = states.transpose(1, 2)
        return frames


class _Mask(nn.Module):
    """In training, sets one run of bands and one run of frames of each utterance to 0, the mean."""

    def __init__(self, *, bands: float, frames: float) -> None:
        super().__init__()
        self.bands, self.frames = bands, frames

    def forward(self, features: Tensor) -> Tensor:
        """(N, 40, T) in and out."""
        if self.training and self.bands:
            features = features.masked_fill(_draw_run(features, dim=1, most=self.bands)[:, :, None], 0)
        if self.training and self.frames:
            features = features.masked_fill(_draw_run(features, dim=2, most=self.frames)[:, None, :], 0)
        return features


def _draw_run(features: Tensor, *, dim: int, most: float) -> Tensor:
    """(N, places) bool: a run of up to this share of the places along a dimension, anywhere in it."""
    places = features.shape[dim]
    length, start = torch.rand(2, len(features), 1, device=features.device)
    length = length * most * places
    start = start * (places - length)
    place = torch.arange(places, device=features.device) + 0.5
    is_in: Tensor = (place > start) & (place < start + length)
    return is_in
