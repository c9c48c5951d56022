"""The parts of a script that depend on the trial: flags, loader, model, optimizer, schedule, steps."""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.report.export.script.pieces import piece
from autotune.report.export.script.winner import Winner
from autotune.spec.learning import DEFAULT_BATCH_SIZE
from autotune.spec.optimizers import DEFAULT_OPTIMIZER, OPTIMIZERS, as_fraction, is_own_optimizer
from autotune.speed.knobs.code import environment_lines, process_lines

_IMPLEMENTATIONS = {
    "for_loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}
_DTYPES = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}


def flag_lines(winner: Winner) -> list[str]:
    """The statements of ``main`` that set the process's flags before training."""
    setting = {name: value for name, value in winner.parameters.items() if name != "cpu_affinity"}
    threads = winner.trial.in_force.get("torch_threads")
    setting |= {} if threads is None else {"torch_threads": threads}
    lines = environment_lines(setting) + process_lines(setting, device=winner.device)
    if winner.parameters.get("cpu_affinity") == "physical":
        lines.append("# It ran on one logical core of each physical one; `taskset` binds to cores.")
    return lines


def loader_part(winner: Winner) -> str:
    """``Batches``, with what it needs."""
    parts = [piece("training.rng", "derive_seed"), piece("training.data.sample_order", "EpochOrder")]
    if winner.num_workers:
        parts += [
            "_MAX_NUMPY_SEED = 2**32",
            piece("training.rng", "seed_loading"),
            piece("training.data.loader", "_SeededSamples").replace("_SeededSamples", "SeededSamples"),
        ]
    if winner.is_cached:
        parts.append(_HELD_WHOLE)
    if _moves(winner):
        parts.append(piece("training.batches", "mover", "change_tensors", "_like"))
    return "\n\n\n".join([*parts, _batches(winner)])


def _batches(winner: Winner) -> str:
    arguments = {"batch_sampler": "self.order", "collate_fn": "collate"}
    dataset = "dataset"
    if winner.num_workers:
        dataset = "SeededSamples(dataset)"
        parameters = winner.parameters
        method = parameters.get("worker_start_method") or "fork"
        wanted = {name: parameters.get(name) for name in ("prefetch_factor", "persistent_workers", "in_order")}
        arguments |= {"num_workers": str(winner.num_workers), "multiprocessing_context": repr(method)}
        arguments |= {name: repr(value) for name, value in wanted.items() if value is not None}
    if winner.parameters.get("pin_memory") and winner.device == "cuda":
        arguments["pin_memory"] = "True"
    arguments["generator"] = "torch.Generator().manual_seed(0)"  # else each pass draws from the global generator
    words = ", ".join(f"{name}={value}" for name, value in arguments.items())
    loader = f"DataLoader({dataset}, {words})"
    if winner.is_cached:
        loader = "HeldWhole(dataset, self.order, collate)"
    formats = ", ".join(f"{name}={name in _memory_formats(winner)}" for name in ("channels_last", "channels_last_3d"))
    move = f"mover(DEVICE, {formats})(batch)" if _moves(winner) else "batch"
    size = winner.trial.in_force.get("validation_batch_size")
    return f'''class Batches:
    """Batches of a dataset, whose order depends on the seed and the epoch alone, never on workers."""

    def __init__(self, dataset, *, train, batch_size=None, collate=None, drop_last=False):
        self.batch_size = batch_size or ({_batch_size(winner)} if train else {size!r})
        self.num_samples = len(dataset)
        self.epoch = 1
        self.order = EpochOrder(
            len(dataset),
            batch_size=self.batch_size,
            drop_last=drop_last,
            has_workers={winner.num_workers > 0},
            seed=SEED,
            shuffle=train,
        )
        self.loader = {loader}

    def __len__(self):
        return len(self.order)

    def __iter__(self):
        self.order.aim(self.epoch, 0)
        for batch in self.loader:
            yield {move}'''


def _batch_size(winner: Winner) -> int:
    return int(winner.parameters.get("batch_size") or DEFAULT_BATCH_SIZE)


_HELD_WHOLE = '''class HeldWhole:
    """Every sample is fetched once; a batch is one gather (`cache` in the study)."""

    def __init__(self, dataset, order, collate):
        self.order, self.collate = order, collate
        with undisturbed_rng():
            self.samples = [dataset[index] for index in range(len(dataset))]
            whole = default_collate(self.samples) if collate is None else None
        is_tensors = isinstance(whole, list) and all(isinstance(part, torch.Tensor) for part in whole)
        self.whole = whole if is_tensors else None

    def __iter__(self):
        collate = self.collate or default_collate
        for indices in self.order:
            if self.whole is None:
                yield collate([self.samples[index] for index in indices])
            else:
                chosen = torch.tensor(indices)
                yield [part.index_select(0, chosen) for part in self.whole]'''


def model_part(winner: Winner) -> str:
    """``prepare``: the model on its device, in its memory format, compiled."""
    lines = ["def prepare(model):", "    model = model.to(DEVICE)"]
    for name in _memory_formats(winner):
        convert = "convert_conv2d_weight_memory_format" if name == "channels_last" else _CONVERT_3D
        lines.append(f"    model = nn.utils.{convert}(model, torch.{name})")
    mode = winner.parameters.get("compile", "off")
    if mode != "off":
        lines += [
            "    import torch._dynamo.config as dynamo_config",
            "",
            "    with dynamo_config.patch(wrap_top_frame=True):  # else an nn.Sequential stays as it is",
            f"        model.compile(mode={mode!r})",
        ]
    return "\n".join([*lines, "    return model"])


_CONVERT_3D = "convert_conv3d_weight_memory_format"


def _memory_formats(winner: Winner) -> list[str]:
    return [name for name in ("channels_last", "channels_last_3d") if winner.parameters.get(name)]


def _moves(winner: Winner) -> bool:
    """Whether batches are moved to a device, or into a memory format."""
    return winner.device != "cpu" or bool(_memory_formats(winner))


def optimizer_part(winner: Winner) -> str:
    """``make_optimizer``, with the trial's own arguments written out."""
    name = str(winner.parameters.get("optimizer", DEFAULT_OPTIMIZER))
    head = "def make_optimizer(model):\n    trainable = [p for p in model.parameters() if p.requires_grad]\n"
    if is_own_optimizer(name):
        return head + _own_optimizer(name, winner.parameters)
    arguments = _arguments(name, winner.parameters)
    if name == "sgd" and winner.is_recorded and "optimizer_impl" not in winner.parameters:
        arguments["fused"] = True
    if name == "muon":
        muon = piece("training.steps.optimizers", "embeddings_of", "MuonWithAdamW")
        return f"{muon}\n\n\n{head}    return MuonWithAdamW(trainable, {arguments!r}, embeddings=embeddings_of(model))"
    words = "".join(f", {argument}={value!r}" for argument, value in arguments.items())
    return f"{head}    return torch.optim.{OPTIMIZERS[name].class_name}(trainable{words})"


def _arguments(name: str, parameters: Mapping[str, Scalar]) -> dict[str, object]:
    facts = OPTIMIZERS[name]
    halves = {part for parts in facts.tuples.values() for part in parts}
    arguments: dict[str, object] = {
        argument: parameters[argument]
        for argument in facts.arguments
        if argument in parameters and argument not in halves
    }
    for argument, parts in facts.tuples.items():
        given = {part: as_fraction(parameters[part]) for part in parts if part in parameters}
        if len(given) == len(parts):
            arguments[argument] = tuple(given.values())
        elif given:
            defaults = f"inspect.signature(torch.optim.{facts.class_name}).parameters[{argument!r}].default"
            arguments[argument] = _Code(f"tuple({given!r}.get(n, d) for n, d in zip({parts!r}, {defaults}))")
    implementation = parameters.get("optimizer_impl")
    if implementation is not None:
        wanted = _IMPLEMENTATIONS[str(implementation)]
        arguments |= {argument: value for argument, value in wanted.items() if argument in facts.implementations}
    return arguments


class _Code(str):
    """Source text whose ``repr`` is itself, so that it can be an argument of a call that is written out."""

    __slots__ = ()

    def __repr__(self) -> str:  # type: ignore[explicit-override]
        return str(self)


def _own_optimizer(name: str, parameters: Mapping[str, Scalar]) -> str:
    place, _, class_name = name.rpartition(":")
    is_file = place.endswith(".py")
    lines = [
        f"{class_name} = runpy.run_path({place!r})[{class_name!r}]" if is_file else f"from {place} import {class_name}",
        "",
        f"taken = inspect.signature({class_name}).parameters",
        "arguments = {n: v for n, v in PARAMETERS.items() if n in taken}",
    ]
    betas = {part: as_fraction(parameters[part]) for part in ("beta1", "beta2") if part in parameters}
    if betas:
        lines += [
            'if "betas" in taken:',
            "    defaults = zip(('beta1', 'beta2'), taken['betas'].default)",
            f"    arguments['betas'] = tuple({betas!r}.get(n, d) for n, d in defaults)",
        ]
    lines.append(f"return {class_name}(trainable, **arguments)")
    return "\n".join(f"    {line}".rstrip() for line in lines)


def schedule_part(winner: Winner) -> str:
    """``make_scheduler``: the learning rate's factor in closed form."""
    parameters = winner.parameters
    total = "STEPS" if winner.steps is not None else f"{winner.schedule_epochs} * steps_per_epoch"
    factor = piece("training.steps.schedules", "_ONE_CYCLE_RISE", "_ONE_CYCLE_START", "_ONE_CYCLE_END")
    classes = piece("training.steps.schedules", "Factor", "_one_cycle", "_between")
    schedule = parameters.get("schedule", "constant")
    rest = f"warmup_steps=round({parameters.get('warmup', 0.0)!r} * total_steps)"
    for name, argument in (("schedule_gamma", "gamma"), ("schedule_step", "step_share")):
        if name in parameters:
            rest += f", {argument}={parameters[name]!r}"
    return f"""{factor}


{classes}


def make_scheduler(optimizer, steps_per_epoch):
    total_steps = {total}
    return LambdaLR(optimizer, Factor({schedule!r}, total_steps, {rest}))"""


def step_part(winner: Winner) -> str:
    """``autocast``, ``accumulator``, ``backward``, ``step``, and ``training_step`` of them all."""
    parameters = winner.parameters
    precision = str(parameters.get("precision", "fp32"))
    has_scaler = precision == "fp16"
    context = (
        f"torch.autocast({winner.device!r}, dtype={_DTYPES[precision]})" if precision in _DTYPES else "nullcontext()"
    )
    # A user's loop may step several optimizers after one backward: the scale is updated when all have stepped.
    is_late = has_scaler and winner.task.kind == "function"
    lines = [f"SCALER = torch.amp.GradScaler({winner.device!r})"] if has_scaler else []
    lines += ["STEPPED = []"] if is_late else []
    lines += ["\n"] if has_scaler else []
    lines += [f"def autocast():\n    return {context}\n\n", _accumulator(winner)]
    scaled = "SCALER.scale(loss)" if has_scaler else "loss"
    update = _LATE_UPDATE if is_late else ""
    lines.append(f"\n\ndef backward(loss):\n{update}    {scaled}.backward()\n\n\ndef step(optimizer):")
    clip = parameters.get("gradient_clip")
    if clip is not None:
        if has_scaler:
            lines.append("    SCALER.unscale_(optimizer)")
        lines.append("    clipped = [p for group in optimizer.param_groups for p in group['params']]")
        lines.append(f"    nn.utils.clip_grad_norm_(clipped, {clip!r})")
    after = "STEPPED.append(optimizer)" if is_late else "SCALER.update()"
    lines += [f"    SCALER.step(optimizer)\n    {after}"] if has_scaler else ["    optimizer.step()"]
    taking = _TAKE_STEP + (_RECORDED if winner.is_recorded else _PLAIN)
    return "\n".join([*lines, f"    optimizer.zero_grad()\n\n\n{_graph_pieces(winner)}{taking}"])


_TAKE_STEP = """def training_step(model, loss_of, optimizer, count):
    gradient = accumulator(loss_of, count)

    def take_step(batch):
        loss = gradient(batch)
        step(optimizer)
        return loss

"""
_PLAIN = "    return take_step"
_RECORDED = """    make_recordable(optimizer)
    host = HostState(model, loss_of)
    return StepGraph(take_step, optimizer=optimizer, host=host, recorder=CudaRecorder(), on_refusal=print)"""


def _graph_pieces(winner: Winner) -> str:
    """The code that records and replays a step; empty where the trial recorded none."""
    if not winner.is_recorded:
        return ""
    counts = "_EAGER_STEPS", "_MOST_GRAPHS", "_MOST_SHAPES", "_WORTH_RECORDING", "_LOOK_EVERY"
    kinds = (
        "_PLAIN",
        "_WITHOUT_ATTRIBUTES",
        "_MOST_ENTRIES",
        "_DEEPEST",
        "_NEEDS_GRADIENT",
        "_UNBOUND",
        "_BOOKS",
        "_TREE",
    )
    constants = (
        *(piece("training.steps.step_graph", name) for name in counts),
        *(piece("training.steps.settings", name) for name in ("_RATE", "_PARAMETERS")),
        *(piece("training.steps.host_state", name) for name in (*kinds, "_NEEDS_GRADIENT")),
        "Step = Recorder = _Shape = Any  # in annotations alone",
    )
    host = "HostState", "Glance", "SeenTensor", "_Same", "_address", "_content", "_bound_to", "_cells", "_attributes"
    optimizer = "OptimizerSettings", "_fill", "read_state", "make_recordable", "complete_momentum"
    needed = (
        piece("training.failures", "one_line"),
        _IS_OUT_OF_MEMORY,
        piece("training.batches", "is_all_tensors", "nesting"),
        piece("training.steps.recorder", "CudaRecorder"),
        piece("training.steps.host_state", *host, "_told", "_generator_state", "_frozen", "first_difference"),
        piece("training.steps.settings", *optimizer),
    )
    rest = piece("training.steps.step_graph", "StepGraph", "_chain", "_Graph")
    return "\n\n\n".join(("\n".join(constants), *needed, rest, ""))


_IS_OUT_OF_MEMORY = """def is_out_of_memory(error):
    return "out of memory" in str(error)"""
_LATE_UPDATE = """    if STEPPED:  # the scale moves once, when all optimizers have stepped
        STEPPED.clear()
        SCALER.update()
"""


def _accumulator(winner: Winner) -> str:
    if winner.micro_batches == 1:
        return """def accumulator(loss_of, count):
    def gradient(batch):
        loss = loss_of(batch)
        backward(loss)
        return loss.detach()

    return gradient"""
    size = max(1, _batch_size(winner) // winner.micro_batches)
    cut = piece("training.batches", "micro_batches", "_slice")
    if not _moves(winner):  # else it came with the loader
        cut += "\n\n\n" + piece("training.batches", "_like")
    return f'''{cut}


def accumulator(loss_of, count):
    def gradient(batch):
        """The batch's gradient, added up over {winner.micro_batches} micro-batches."""
        total, whole = None, count(batch)
        for part in micro_batches(batch, size={size}):
            loss = loss_of(part) * (count(part) / whole)
            backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        return total

    return gradient'''
