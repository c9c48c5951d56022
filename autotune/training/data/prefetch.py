"""Copies to a CUDA device that run while the step before them trains."""

from collections.abc import Callable, Iterator

import torch

from autotune.training.batches import Batch, list_tensors


def copied_ahead(batches: Iterator[Batch], move: Callable[[Batch], Batch], *, device: torch.device) -> Iterator[Batch]:
    """The same batches on the device, each copied on a stream of its own before its turn.

    A batch's copy is launched before the one ahead of it is handed out, so that it runs beside that
    one's step. From memory that is not pinned a copy holds the host up, and nothing is gained.
    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-streams
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: Batch | None = None
    for batch in batches:
        copying = _launch(batch, move, stream=stream)
        if ahead is not None:
            yield ahead
        ahead = None
        ahead = _take_over(copying, stream=stream)
    if ahead is not None:
        yield ahead


def _launch(batch: Batch, move: Callable[[Batch], Batch], *, stream: torch.cuda.Stream) -> Batch:
    """Launch the batch's copy on the copying stream."""
    made_there = [tensor for tensor in list_tensors(batch) if tensor.is_cuda]
    if made_there:  # by a collate function of one's own: the copying stream must not read it before
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        for tensor in made_there:
            tensor.record_stream(stream)
    with torch.cuda.stream(stream):
        return move(batch)


def _take_over(batch: Batch, *, stream: torch.cuda.Stream) -> Batch:
    """Let the current stream wait for the copy, and keep its memory until that stream is done with it."""
    current = torch.cuda.current_stream(stream.device)
    current.wait_stream(stream)
    for tensor in (tensor for tensor in list_tensors(batch) if tensor.is_cuda):  # a PackedSequence has one that is not
        # Its memory belongs to the copying stream, which would give it away while the step still reads it.
        tensor.record_stream(current)
    return batch
