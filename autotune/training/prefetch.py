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

    def launch(batch: Batch) -> Batch:
        with torch.cuda.stream(stream):
            return move(batch)

    def take_over(batch: Batch) -> Batch:
        current = torch.cuda.current_stream(device)
        current.wait_stream(stream)
        for tensor in list_tensors(batch):
            # Its memory belongs to the copying stream, which would give it away while the step still reads it.
            tensor.record_stream(current)
        return batch

    ahead: Batch | None = None
    for batch in batches:
        copying = launch(batch)
        if ahead is not None:
            yield ahead
        ahead = None
        ahead = take_over(copying)
    if ahead is not None:
        yield ahead
