"""A copy of a state on the CPU, taken in one moment, that training on does not change."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autotune.errors import TaskError

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size)
_Key: TypeAlias = tuple[object, ...]


class Snapshot:
    """Copies states; the copies from a CUDA device are complete once the function that ``seal`` returns has returned.

    A copy from a CUDA device is launched, not waited for. It goes into pinned memory, in the order of the
    device's other work, so that what is launched afterwards can't change what is copied. The pinned memory comes
    from torch's caching allocator and serves the next snapshot again. A tensor on the CPU is copied into the memory
    of an earlier snapshot: new memory costs several times the copy, since the system has to hand out each page.

    Tensors are told apart by their address, so what was taken is kept alive until ``seal``: a tensor that
    ``state_dict`` made for one call alone would else be gone at the next, which might get its address.
    """

    def __init__(self, earlier: "Snapshot | None" = None) -> None:
        """Nothing is taken yet; ``earlier`` is a snapshot that nobody needs any more, whose memory is used again."""
        self._spare = earlier.places if earlier is not None else {}
        self.places: dict[str, Tensor] = {}
        """The copies of tensors on the CPU, by their places in the state."""
        self._copies: dict[_Key, tuple[Tensor, Tensor]] = {}
        """Each tensor that was taken, which keeps its address, and its copy."""
        self._devices: set[torch.device] = set()
        self.num_bytes = 0
        """Size of all tensors that were copied."""

    def take(self, value: object, where: str) -> Any:  # noqa: ANN401 - the type of value
        """The value with all tensors copied; tied weights stay one tensor, in later values too.

        Args:
            value: A state, or a part of one.
            where: Its place in the state, such as ``model.weight``.

        Raises:
            TaskError: The value holds what ``torch.load(weights_only=True)`` would refuse when it is too late.
        """
        if isinstance(value, Tensor):
            return self._copy(value, where)
        if isinstance(value, dict) and type(value) in {dict, OrderedDict}:
            taken = copy.copy(value)  # with the versions of modules, an attribute that state_dict hangs on its dict
            for key, item in value.items():
                taken[key] = self.take(item, f"{where}.{key}" if where else str(key))
            return taken
        if isinstance(value, list | tuple) and type(value) in {list, tuple}:
            return type(value)(self.take(item, f"{where}.{index}") for index, item in enumerate(value))
        if type(value) not in _PLAIN:
            kind = f"{type(value).__module__}.{type(value).__name__}"
            raise TaskError(
                f"checkpoint: {where}: a state holds tensors, numbers, text, lists and dicts, got {kind}; convert it"
            )
        return value

    def seal(self) -> Callable[[], None]:
        """End the taking, and keep what was taken alive no longer.

        Returns:
            A function that waits for the copies, in any thread.
        """
        events = []
        for device in self._devices:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(device))
            events.append(event)
        self._copies.clear()
        self._spare = {}

        def wait() -> None:
            for event in events:
                event.synchronize()

        return wait

    def _copy(self, tensor: Tensor, where: str) -> Tensor:
        """A copy on the CPU; one and the same for tensors of the same address, shape, strides and type."""
        tensor = tensor.detach()
        if tensor.layout is not torch.strided:
            return tensor.to("cpu", copy=True)
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if key not in self._copies:
            self.num_bytes += tensor.nbytes
            self._copies[key] = tensor, self._copy_strided(tensor, where)
        return self._copies[key][1]

    def _copy_strided(self, tensor: Tensor, where: str) -> Tensor:
        if tensor.device.type != "cuda":
            spare = self._spare.pop(where, None)
            if spare is not None and _is_alike(spare, tensor):
                self.places[where] = spare.copy_(tensor)
            else:
                self.places[where] = tensor.to("cpu", copy=True)
            return self.places[where]
        self._devices.add(tensor.device)
        return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def _is_alike(spare: Tensor, tensor: Tensor) -> bool:
    """Whether a tensor of the earlier snapshot can take the copy."""
    is_same = (spare.shape, spare.stride(), spare.dtype) == (tensor.shape, tensor.stride(), tensor.dtype)
    return is_same and not spare.is_inference()  # of a report inside of inference mode: it can't be written to outside
