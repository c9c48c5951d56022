"""The speed parameters that hold for a whole process: set, and read back from torch."""

import torch

from autotune.events import Scalar
from autotune.training.parameters import Parameters


def apply_process_knobs(params: Parameters, *, cores: tuple[int, ...]) -> None:
    """Set threads, cuDNN's flags and the matmul precision; what is absent keeps torch's default.

    Without ``torch_threads``, a trial with a lease on cores takes as many threads.
    """
    threads = params.get("torch_threads", len(cores) or None)
    if threads is not None:
        torch.set_num_threads(int(threads))
    if "float32_matmul_precision" in params:
        torch.set_float32_matmul_precision(str(params["float32_matmul_precision"]))
    if "cudnn_benchmark" in params:
        torch.backends.cudnn.benchmark = bool(params["cudnn_benchmark"])
    if "cudnn_deterministic" in params:
        torch.backends.cudnn.deterministic = bool(params["cudnn_deterministic"])


def process_knobs_in_force(device: torch.device) -> dict[str, Scalar]:
    """What torch says that holds now; cuDNN's flags only where there is a cuDNN to heed them."""
    knobs: dict[str, Scalar] = {
        "torch_threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        knobs["cudnn_benchmark"] = torch.backends.cudnn.benchmark
        knobs["cudnn_deterministic"] = torch.backends.cudnn.deterministic
    return knobs
