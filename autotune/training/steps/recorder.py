"""What records a step on a CUDA device, and replays it."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Recorder(Protocol):
    """Records what a function does on a device."""

    def eager(self, step: Callable[[], Tensor]) -> Tensor:
        """Run the function as it is, in a way that lets it be recorded later."""

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record the function without running it.

        Returns:
            What replays it, and the tensor in which a replay leaves the result.

        Raises:
            RuntimeError: It does what can't be recorded; this process should end then, and use the device no more.
        """

    def forget(self) -> None:
        """Take note that nothing which was recorded so far is replayed any more."""


class CudaRecorder:
    """Records CUDA graphs, which share their memory: one is replayed at a time."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def eager(self, step: Callable[[], Tensor]) -> Tensor:
        """Run the function on a stream of its own, which a later recording needs."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = step()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record the function as a CUDA graph; other threads may use the device meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = step()
        return graph.replay, result

    def forget(self) -> None:
        """Let the next graphs have other memory: a pool whose graphs are all gone can't be used again (torch 2.11)."""
        self._pool = torch.cuda.graph_pool_handle()
