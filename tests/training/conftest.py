from collections.abc import Iterator

import pytest
import torch

# Each time, and not only in the first test of a process that gives cause for it.
torch.set_warn_always(True)


@pytest.fixture(autouse=True)
def settings_of_torch() -> Iterator[None]:
    """A trial sets what holds for its whole process; the next test's process is the same."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
