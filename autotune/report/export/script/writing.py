"""A trial as one runnable file of plain PyTorch, put together from its parts."""

import pprint
from importlib.metadata import version
from pathlib import Path

from autotune.report.export.script import parts
from autotune.report.export.script.imports import import_lines
from autotune.report.export.script.pieces import piece
from autotune.report.export.script.winner import Winner, find_winner
from autotune.report.summaries.record import StudyRecord
from autotune.report.text.wording import one_line

_STAND_INS = '''class Parameters(dict):
    """The trial's parameters: `params.width`, `params["width"]` or `params.get("width", 16)`."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class InfeasibleError(Exception):
    """A task raises it for parameters that can't work."""


TaskKnob = dict  # what a task declares of speed parameters of its own says nothing here
Scalar = Batch = Any'''

_UNDISTURBED = '''@contextmanager
def undisturbed_rng():
    """Leaves the generators as they were, whatever validation draws."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        yield
    np.random.set_state(numpy_state)
    random.setstate(python_state)'''

_TRIAL = '''class Trial:
    """What a function `train(trial)` asks of the trial that it trains."""

    def __init__(self, params):
        self.params, self.number, self.seed = params, {number}, SEED
        self.epochs, self.device, self.folder = {epochs}, DEVICE, Path.cwd()
        self.epochs_done, self.metrics, self._batches{graphs} = 0, {{}}, []{lists}
        self.checkpoint = SimpleNamespace(
            restore=lambda **objects: 0,
            save=lambda **objects: None,
            save_inside_epoch=lambda: None,
            wait=lambda: None,
            objects={{}},
            path=Path.cwd() / "checkpoint.pt",
        )

    def watch(self, batches):
        return iter(batches)

    def loader(self, dataset, **options):
        self._batches.append(Batches(dataset, **options))
        return self._batches[-1]

    def prepare(self, model):
        return prepare(model)

    def optimizer(self, model):
        return make_optimizer(model)

    def scheduler(self, optimizer, *, steps_per_epoch):
        return make_scheduler(optimizer, steps_per_epoch)

    def autocast(self):
        return autocast()

    def accumulator(self, model, loss, *, count=count_samples):
        return accumulator(loss, count)

    def training_step(self, model, loss, optimizer, *, count=count_samples):
        take_step = training_step(model, loss, optimizer, count){remember}
        return take_step

    def backward(self, loss):
        backward(loss)

    def step(self, optimizer):
        step(optimizer)

    def check(self, loss):
        pass

    def report(self, epoch, **metrics):
        self.metrics = {{name: float(value) for name, value in metrics.items()}}
        print(f"epoch {{epoch}}:", ", ".join(f"{{name}} {{value!r}}" for name, value in self.metrics.items()))
        self.epochs_done = epoch
        for batches in self._batches:
            batches.epoch = epoch + 1{look}

    def should_stop(self):
        return self.epochs_done >= EPOCHS

    def is_used_up(self):
        return False'''

_TRAIN = '''def train(task, params):
    """The whole training: data, model, optimizer, epochs. Returns the model and the last epoch's metrics."""
    collate = None if type(task).collate is Task.collate else task.collate
    seed_everything(derive_seed(SEED, "data"))
    train_data, validation_data = task.train_data(params), task.validation_data(params)
    batches = Batches(train_data, train=True, collate=collate)
    if batches.num_samples > 1 and batches.num_samples % batches.batch_size == 1:
        batches = Batches(train_data, train=True, collate=collate, drop_last=True)  # no batch of a single sample
    validation = Batches(validation_data, train=False, collate=collate)
    seed_everything(SEED)  # again: whatever was drawn for the data, the weights depend on this seed alone
    model = prepare(task.model(params))
    optimizer = task.optimizer(model, params)
    if optimizer is None:
        optimizer = make_optimizer(model)
    scheduler = make_scheduler(optimizer, len(batches))
    context = autocast()

    def loss_of(batch):
        with context:
            outputs, targets = task.forward(model, batch)
            return task.loss(outputs, targets)

    take_step, metrics = training_step(model, loss_of, optimizer, task.count), {{}}
    steps = 0
    for epoch in range(1, EPOCHS + 1):
        model.train()
        batches.epoch = validation.epoch = epoch
        total, total_count = torch.zeros((), dtype=torch.float64, device=DEVICE), 0
        for batch in batches:
            count = task.count(batch)
            add_times(total, take_step(batch), count)
            total_count = total_count + count
            scheduler.step()
            steps += 1{end}
        model.eval()
        with torch.inference_mode(), context, undisturbed_rng():
            values = task.evaluate(model, made_outside(validation, device=DEVICE))
        metrics = {{f"val_{{name}}": float(value) for name, value in values.items()}}
        shown = {{"train_loss": float(total) / float(total_count), **metrics}}
        print(f"epoch {{epoch}}:", ", ".join(f"{{name}} {{value!r}}" for name, value in shown.items())){look}
    return model, metrics'''

_RECORDED = {
    "graphs": ", self._graphs",
    "lists": ", []",
    "remember": "\n        self._graphs.append(take_step)",
    "look": "\n        for graph in self._graphs:\n            graph.look_again()",
}
"""Further attributes of ``Trial`` in a script whose steps are recorded."""
_END = """
            if steps == STEPS:  # the trial had used up its {resource}
                break"""

_MAIN_CLASS = """def main():
    torch.set_num_threads(1)  # as where the task was set up
    task = {name}()
    task.setup()
{flags}
    model, _ = train(task, Parameters(PARAMETERS))
    if len(sys.argv) > 1:
        torch.save(model.state_dict(), sys.argv[1])


if __name__ == "__main__":
    main()"""

_MAIN_FUNCTION = """def main():
{flags}
    seed_everything(SEED)
    {name}(Trial(Parameters(PARAMETERS)))


if __name__ == "__main__":
    main()"""


def write_script(record: StudyRecord, *, number: int) -> str:
    """The trial as the text of a Python file.

    Raises:
        RunError: The trial reported nothing, or its task can't stand in a script.
    """
    winner = find_winner(record, number=number)
    sections = [_values(winner), _STAND_INS, _task_part(winner), _rng_part()]
    sections += [parts.loader_part(winner), parts.model_part(winner), parts.optimizer_part(winner)]
    sections += [parts.schedule_part(winner), parts.step_part(winner), *_ending(winner)]
    body = "\n\n\n".join(section.strip("\n") for section in sections)
    return f"{_header(winner)}\n\n{import_lines(body)}\n\n{body}\n"


def _header(winner: Winner) -> str:
    values = ", ".join(f"{name} {value!r}" for name, value in winner.metrics.items())
    is_class = winner.task.kind == "class"
    run = f"python FILE{' [WEIGHTS.pt]' if is_class else ''}"
    lines = [
        f"Trains trial {winner.trial.number} of study {winner.study} again: {values} after {winner.epochs} epochs.",
        "",
        f"Plain PyTorch, written by autotune {version('autotune-torch')}, which need not be installed.",
        f"Run it: `{run}`.",
        "",
        f"Needs: {', '.join(_needs(winner))}.",
        f"The task is the source of {winner.task.path.name}, as it was when this file was written.",
        *_limits(winner),
    ]
    text = "\n".join(one_line(line) for line in lines)
    # Names of metrics and files are the user's: none of them may end the docstring.
    text = text.replace("\\", "\\\\").replace('"', '\\"') if {'"', "\\"} & set(text) else text
    return f'"""{text}\n"""'


def _needs(winner: Winner) -> list[str]:
    torch = f"torch {winner.machine.torch.version}" if winner.machine else "torch"
    own = [name for name in winner.task.modules if name not in {"torch", "numpy"}]
    return [f"Python {winner.machine.python_version}" if winner.machine else "Python", torch, "numpy", *own]


def _limits(winner: Winner) -> list[str]:
    limits = ["On a CPU of the same kind, with the same versions, metrics come out the same to the last bit."]
    if winner.device != "cpu":
        limits = ["It was trained on a GPU: metrics come out as near as two trainings there do."]
    if winner.task.kind == "function":
        limits.append(
            "Checkpoints are left out: `restore` says that nothing was trained yet, and `save` writes nothing."
        )
    if winner.steps is not None:
        limits.append(f"The trial had a limit of {winner.resource}; here it is the number of steps that it came to.")
        limits.append("A schedule follows these steps, where the trial's followed what it had used up.")
    if winner.trial.restarts and winner.device != "cpu":
        limits.append("The trial was interrupted and went on from a checkpoint.")
    if winner.parameters.get("accumulate") == "auto":
        limits.append("Batches are cut as at the trial's end; where memory ran out on the way, its first steps differ.")
    if winner.parameters.get("device_prefetch"):
        limits.append("Copies to the device do not run ahead (device_prefetch), which costs speed alone.")
    return limits


def _values(winner: Winner) -> str:
    lines = [f"PARAMETERS = {pprint.pformat(dict(winner.parameters), sort_dicts=False, width=100)}"]
    lines += [f"SEED = {winner.trial.seed}", f"EPOCHS = {winner.epochs}"]
    if winner.steps is not None:
        lines.append(f"STEPS = {winner.steps}")
    return "\n".join([*lines, f"DEVICE = torch.device({winner.device!r})"])


def _task_part(winner: Winner) -> str:
    task = winner.task
    base = [piece("training.batches", "count_samples", "_first_tensor", "list_tensors")]
    if task.kind == "class":
        base.append(piece("training.task", "Task"))
        base.append(piece("training.batches", "add_times", "made_outside"))
    places = [f"sys.path.append({str(folder)!r})  # where the task imports from" for folder in _folders(winner)]
    if "__file__" in task.text:
        places.append(f"__file__ = {str(task.path)!r}  # the task looks for its data from there")
    return "\n\n\n".join(
        [*base, f"# The task, from {one_line(task.path.name)}", *(["\n".join(places)] if places else []), task.text]
    )


def _folders(winner: Winner) -> list[Path]:
    """Folders from which the task imports the user's own modules; never a folder inside of a package."""
    candidates = dict.fromkeys((*(winner.task.roots or (winner.task.path.parent,)), Path.cwd()))
    return [
        folder
        for folder in candidates
        if any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for name in winner.task.modules)
    ]


def _rng_part() -> str:
    seeds = piece("training.rng", "seed_everything").replace("_MAX_NUMPY_SEED", "2**32")
    return f"{seeds}\n\n\n{_UNDISTURBED}"


def _ending(winner: Winner) -> list[str]:
    flags = "\n".join(f"    {line}" for line in parts.flag_lines(winner))
    if winner.task.kind == "function":
        recorded = _RECORDED if winner.is_recorded else dict.fromkeys(_RECORDED, "")
        trial = _TRIAL.format(number=winner.trial.number, epochs=winner.schedule_epochs, **recorded)
        return [trial, _MAIN_FUNCTION.format(flags=flags, name=winner.task.name)]
    end = _END.format(resource=winner.resource) if winner.steps is not None else ""
    look = "\n        take_step.look_again()" if winner.is_recorded else ""
    return [_TRAIN.format(end=end, look=look), _MAIN_CLASS.format(flags=flags, name=winner.task.name)]
