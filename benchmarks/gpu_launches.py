"""How a training step is launched on a CUDA device, and what that costs: four ways, on a batch that stays there.

Kernel by kernel; as one CUDA graph of the whole step, optimizer included; compiled in the mode ``reduce-overhead``,
which has graphs of forward and backward alone; and compiled, and the whole of it recorded. All of them train in bf16
and TF32 with the fused AdamW. Plain torch, without what ``autotune`` has for it: ``training/steps/step_graph.py`` does
the same for a user's task. Printed are the median of five runs of 60 steps, the time that kernels ran in a step and
their number by torch's profiler, and the seconds until the first step at full speed. No way finds what another one
has compiled.

    python -m benchmarks.gpu_launches transformer resnet18
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch._inductor.utils import fresh_inductor_cache
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_tasks import BasicBlock, Encoder, resnet

_STEPS = 60
_RUNS = 5
_WAYS = (("off", False), ("off", True), ("reduce-overhead", False), ("default", True))
"""The mode of torch.compile, and whether the whole step is one CUDA graph."""

Step = Callable[[], object]


def make(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The model of a workload of ``benchmarks/gpu.py``, and a batch, on the device."""
    torch.manual_seed(0)
    if name == "transformer":
        model: nn.Module = Encoder(length=128, width=512, heads=8, layers=6).cuda()
        return model, torch.randint(1, 10_000, (32, 128), device="cuda"), torch.randint(1000, (32,), device="cuda")
    model = resnet(BasicBlock, (2, 2, 2, 2), width=64).cuda().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(128, 3, 32, 32, device="cuda").to(memory_format=torch.channels_last)
    return model, images, torch.randint(1000, (128,), device="cuda")


def prepare(name: str, *, mode: str, is_whole: bool) -> Step:
    """A step that is ready to be timed."""
    model, inputs, targets = make(name)
    called = model if mode == "off" else torch.compile(model, mode=mode)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True, capturable=is_whole)
    if is_whole:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device="cuda")

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(called(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    if not is_whole:
        for _ in range(3):
            step(inputs, targets)
        return lambda: step(inputs, targets)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(inputs, targets)
    torch.cuda.current_stream().wait_stream(side)
    held = inputs.clone(), targets.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step(*held)

    def replay() -> None:
        held[0].copy_(inputs)
        held[1].copy_(targets)
        graph.replay()

    return replay


def time_step(step: Step) -> float:
    """Milliseconds."""
    for _ in range(_RUNS):
        step()
    found = []
    for _ in range(_RUNS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(_STEPS):
            step()
        torch.cuda.synchronize()
        found.append((time.perf_counter() - began) / _STEPS)
    return 1e3 * median(found)


def profile_step(step: Step, *, steps: int = 10) -> tuple[float, float]:
    """Milliseconds in which kernels ran, and how many there were."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    on_device = torch.autograd.DeviceType.CUDA  # type: ignore[attr-defined]
    kernels = [event for event in profiler.events() if event.device_type == on_device]
    return sum(kernel.device_time for kernel in kernels) / steps / 1e3, len(kernels) / steps


def main() -> None:
    """Print a line for each workload and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+", choices=("transformer", "resnet18"))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu_launches: needs a CUDA device, got none; run it where one is")
    torch.set_float32_matmul_precision("high")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for name in arguments.workloads:
        for mode, is_whole in _WAYS:
            with fresh_inductor_cache():
                began = time.perf_counter()
                step = prepare(name, mode=mode, is_whole=is_whole)
                torch.cuda.synchronize()
                start = time.perf_counter() - began
                milliseconds, (busy, kernels) = time_step(step), profile_step(step)
            way = f"compile {mode}" + (", the whole step one graph" if is_whole else "")
            ran = f"kernels {busy:.2f} ms ({kernels:.0f})"
            print(f"{name:12s} {way:44s} {milliseconds:6.2f} ms, {ran}, start {start:.1f} s", flush=True)
            torch._dynamo.reset()  # noqa: SLF001 - no graph of the one is taken for the next


if __name__ == "__main__":
    main()
