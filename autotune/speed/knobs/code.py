"""A setting as lines of plain PyTorch, to paste into a script that knows nothing of this program."""

from collections.abc import Callable, Mapping

from autotune.events import Scalar
from autotune.hardware import find_allocator

_IMPLEMENTATION = {"for_loop": "foreach=False, fused=False", "foreach": "foreach=True", "fused": "fused=True"}
_LOADER_ARGUMENTS = {
    "num_workers": "num_workers",
    "prefetch_factor": "prefetch_factor",
    "persistent_workers": "persistent_workers",
    "pin_memory": "pin_memory",
    "in_order": "in_order",
    "worker_start_method": "multiprocessing_context",
}
_OF_WORKERS = ("prefetch_factor", "persistent_workers", "in_order", "worker_start_method")
"""Knobs that mean something for workers alone: without any, DataLoader refuses or ignores them."""
_ALL_SAMPLES = "[dataset[index] for index in range(len(dataset))]"
"""Code for all samples. ``list(dataset)`` would never end where a dataset makes a sample for any index."""
_DTYPES = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}
_MATMUL_WORDS = {"ieee": "highest", "tf32": "high", "bf16": "medium"}
CUDA_ALLOCATORS = {"expandable_segments": "expandable_segments:True", "cudaMallocAsync": "backend:cudaMallocAsync"}
"""Values of ``cuda_allocator`` as PYTORCH_ALLOC_CONF has them; torch's own allocator needs none."""
_BACKENDS = {
    ("fp32_precision_conv", "cuda"): "torch.backends.cudnn.conv",
    ("fp32_precision_rnn", "cuda"): "torch.backends.cudnn.rnn",
    ("fp32_precision_conv", "cpu"): "torch.backends.mkldnn.conv",
    ("fp32_precision_rnn", "cpu"): "torch.backends.mkldnn.rnn",
}


def code_lines(
    setting: Mapping[str, Scalar], *, device: str, before: Mapping[str, Scalar] | None = None
) -> tuple[str, ...]:
    """The lines that set these speed parameters, in the order of a script; a task's own knobs as comments.

    Args:
        setting: Speed parameters by name.
        device: ``cpu`` or ``cuda``; precisions go by backend.
        before: What the script has already: it is not written again, except where a call needs all of its arguments.
    """
    before = before or {}
    new = {name: value for name, value in setting.items() if before.get(name, ...) != value}
    kind = device.partition(":")[0]
    lines = environment_lines(new) + process_lines(new, device=device)
    lines += _model(new)
    if new.keys() & _LOADER_ARGUMENTS.keys():
        lines.append(f"loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, {_loader_arguments(setting)})")
    if "optimizer_impl" in new or new.get("cuda_graph"):
        lines.append(_optimizer(setting))
    lines += _steps(new, kind)
    known = {*_LINES, *_LOADER_ARGUMENTS, *_DDP, *_ELSEWHERE}
    lines += [f"# {name} = {value!r}: your task reads it" for name, value in new.items() if name not in known]
    undone = [name for name, value in new.items() if name in before and _NO_LINE.get(name, ...) == value]
    return (*lines, *(f"# {name} = {new[name]!r}: take out what sets {name} to {before[name]!r}" for name in undone))


def _loader_arguments(setting: Mapping[str, Scalar]) -> str:
    """The setting's arguments of a DataLoader, all of them: most mean nothing, or are refused, without workers."""
    has_workers = setting.get("num_workers", 0) != 0
    return ", ".join(
        f"{argument}={setting[name]!r}"
        for name, argument in _LOADER_ARGUMENTS.items()
        if name in setting and (has_workers or name not in _OF_WORKERS)
    )


def environment_lines(setting: Mapping[str, Scalar]) -> list[str]:
    """Lines about what the process is started with, or sets first: allocators and cores."""
    lines: list[str] = []
    if (backend := setting.get("cuda_allocator")) in CUDA_ALLOCATORS:
        lines.append(f"# PYTORCH_ALLOC_CONF={CUDA_ALLOCATORS[str(backend)]} python train.py")
    allocator = setting.get("allocator", "default")
    if allocator == "retain":
        lines += [
            "import ctypes  # glibc: keep freed memory, no mmap for large tensors",
            "ctypes.CDLL(None).mallopt(-4, 0), ctypes.CDLL(None).mallopt(-1, 2**31 - 1)",
        ]
    elif allocator != "default":
        # By its place: distributions leave the bare name to their packages for developers, and ld.so only warns.
        library = find_allocator(str(allocator)) or f"lib{allocator}.so"
        lines.append(f"# LD_PRELOAD={library} python train.py")
    if setting.get("cpu_affinity") == "physical":
        lines += [
            "import os, pathlib  # run on one logical core of each physical one",
            'siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"',
            "cores = {pathlib.Path(siblings.format(core)).read_text(): core for core in os.sched_getaffinity(0)}",
            "os.sched_setaffinity(0, cores.values())",
        ]
    return lines


def process_lines(setting: Mapping[str, Scalar], *, device: str) -> list[str]:
    """Lines about what holds for the whole process: threads, cuDNN's flags, precisions, attention."""
    kind = device.partition(":")[0]
    lines = [line(setting[name]) for name, line in _LINES.items() if name in setting]
    lines += [
        f'{backend}.fp32_precision = "{setting[name]}"'
        for (name, device), backend in _BACKENDS.items()
        if device == kind and name in setting
    ]
    backend = setting.get("sdpa_backend", "auto")
    if backend != "auto":
        # The one that is left is switched on, too: a script may have it off, and would be without any.
        lines += [f"torch.backends.cuda.enable_{each}_sdp({each == backend})" for each in _ATTENTION]
    return lines


def _model(setting: Mapping[str, Scalar]) -> list[str]:
    """Lines about the model and the data: memory layout, compilation, and where samples are kept."""
    lines: list[str] = []
    if setting.get("channels_last"):
        lines.append("model = model.to(memory_format=torch.channels_last)  # and each batch of images")
    if setting.get("channels_last_3d"):
        lines.append("model = model.to(memory_format=torch.channels_last_3d)  # and each batch of volumes")
    ddp = [f"{argument}={setting[name]!r}" for name, argument in _DDP.items() if name in setting]
    if ddp:
        lines.append(f"model = DistributedDataParallel(model, {', '.join(ddp)})")
    mode = setting.get("compile", "off")
    if mode != "off":
        # Not model.compile(...): an nn.Sequential stays as it is by that (torch 2.13; training/steps/models.py).
        lines.append(f'model = torch.compile(model, mode="{mode}")  # model._orig_mod is the one to save')
    if setting.get("cache") == "memory":
        lines.append(f"dataset = {_ALL_SAMPLES}  # once; samples of one shape: better collate all, and index the whole")
    if setting.get("cache") == "device":
        lines.append(
            f"data = default_collate({_ALL_SAMPLES})  # once; then gather its tensors by index, batch by batch"
        )
        lines.append("data = [part.to(device) for part in data]")
    return lines


def _optimizer(setting: Mapping[str, Scalar]) -> str:
    """The optimizer's line; for a step that is recorded, what changes between steps is on the device."""
    arguments = [_IMPLEMENTATION[str(setting["optimizer_impl"])]] if "optimizer_impl" in setting else []
    if not setting.get("cuda_graph"):
        return f"optimizer = torch.optim.AdamW(model.parameters(), lr=lr, {arguments[0]})  # or your optimizer"
    words = ", ".join(["model.parameters()", "lr=torch.tensor(lr, device=device)", *arguments, "capturable=True"])
    return f"optimizer = torch.optim.AdamW({words})  # or yours; SGD has fused=True in place of capturable"


def _steps(setting: Mapping[str, Scalar], kind: str) -> list[str]:
    """Lines about each step: autocast, copies to the device, recording and accumulation."""
    lines: list[str] = []
    precision = setting.get("precision", "fp32")
    if precision in _DTYPES:
        lines += [f'with torch.autocast("{kind}", dtype={_DTYPES[str(precision)]}):', "    ...  # forward and loss"]
    if precision == "fp16":
        lines.append(f'scaler = torch.amp.GradScaler("{kind}")  # scale the loss, step through it, update it')
    if setting.get("device_prefetch"):
        lines += _COPIED_AHEAD
    elif setting.get("pin_memory") and not setting.get("cuda_graph"):
        lines.append(f"batch = {_COPIED}  # in your loop; a copy that blocks gains little")
    if setting.get("cuda_graph"):
        lines += _GRAPH
    accumulate = setting.get("accumulate", 1)
    if accumulate != 1:
        number = "as few micro-batches as fit" if accumulate == "auto" else f"{accumulate} micro-batches"
        lines.append(f"# cut each batch into {number} and add their gradients up")
    return lines


_COPIED = "[part.to(device, non_blocking=True) for part in batch]"
_COPIED_AHEAD = (
    "def copied_ahead(loader):  # copies each batch while the one before it trains",
    "    stream, ahead = torch.cuda.Stream(), None",
    "    for batch in loader:",
    "        with torch.cuda.stream(stream):",
    f"            batch = {_COPIED}",
    "        if ahead is not None:",
    "            yield ahead",
    "        torch.cuda.current_stream().wait_stream(stream)",
    "        for part in batch:  # its memory is the copying stream's, and is kept until the step is done",
    "            part.record_stream(torch.cuda.current_stream())",
    "        ahead = batch",
    "    if ahead is not None:",
    "        yield ahead",
    "# From then on: for batch in copied_ahead(loader), whose batches are on the device.",
)
_GRAPH = (
    "# step(*batch): forward, backward, optimizer.step() and optimizer.zero_grad(), nothing of it on the host.",
    "held = [part.to(device) for part in next(iter(loader))]  # what the graph reads; one for each shape of batch",
    "side = torch.cuda.Stream()",
    "with torch.cuda.stream(side):",
    "    for _ in range(3):",
    "        step(*held)",
    "torch.cuda.synchronize()",
    "graph = torch.cuda.CUDAGraph()",
    "with torch.cuda.graph(graph, stream=side):",
    "    loss = step(*held)",
    "# From then on copy each batch into held, part by part, by copy_(part, non_blocking=True),",
    "# and call graph.replay() in place of step.",
)
_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")
_DDP = {
    "ddp_bucket_cap_mb": "bucket_cap_mb",
    "ddp_gradient_as_bucket_view": "gradient_as_bucket_view",
    "ddp_static_graph": "static_graph",
}
_LINES: Mapping[str, Callable[[Scalar], str]] = {
    "torch_threads": lambda value: f"torch.set_num_threads({value})",
    "cudnn_benchmark": lambda value: f"torch.backends.cudnn.benchmark = {value}",
    "cudnn_benchmark_limit": lambda value: f"torch.backends.cudnn.benchmark_limit = {value}",
    "cudnn_deterministic": lambda value: f"torch.backends.cudnn.deterministic = {value}",
    "float32_matmul_precision": lambda value: f'torch.set_float32_matmul_precision("{value}")',
    "fp32_precision_matmul": lambda value: f'torch.set_float32_matmul_precision("{_MATMUL_WORDS[str(value)]}")',
}
_ELSEWHERE = (
    "accumulate",
    "allocator",
    "cache",
    "channels_last",
    "channels_last_3d",
    "compile",
    "cpu_affinity",
    "cuda_allocator",
    "cuda_graph",
    "device_prefetch",
    "fp32_precision_conv",
    "fp32_precision_rnn",
    "optimizer_impl",
    "precision",
    "sdpa_backend",
    "validation_batch_size",
)
"""Knobs that other lines set than those of ``_LINES``, ``_LOADER_ARGUMENTS`` and ``_DDP``."""
_NO_LINE: Mapping[str, Scalar] = {
    "accumulate": 1,
    "allocator": "default",
    "cache": "off",
    "channels_last": False,
    "channels_last_3d": False,
    "compile": "off",
    "cpu_affinity": "all",
    "cuda_allocator": "native",
    "cuda_graph": False,
    "device_prefetch": False,
    "precision": "fp32",
    "sdpa_backend": "auto",
}
"""For each knob that needs no line at torch's own value, that value: a script has it where it says nothing."""
