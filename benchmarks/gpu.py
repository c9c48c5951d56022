"""On a GPU: each knob alone and in force, the race of all of them, and pytorch-autotune 2.0.0 beside it.

Needs torch, numpy, pydantic, psutil and nvidia-ml-py: no study, database or tracker. Figures are ratios of
throughputs from alternating blocks of two processes, with the bootstrap's 95 % interval. For each workload:

- *knobs*: each setting alone over torch's defaults, on one batch that stays on the device; that it is in
  force is read back from torch, and the program fails where it is not, or where it can't be trained with;
- *race*: all knobs, the real loader; the winner over the defaults and over an informed user's one-liners;
- *rival*: pytorch-autotune's winner, on the three workloads that it publishes, against the race's.

    python -m benchmarks.gpu [--workloads resnet50 ...] [--parts knobs race rival] [--seconds 180]
    python -m benchmarks.gpu --device cpu --tiny        # shows that the script works, and nothing else
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from autotune.events import Scalar
from autotune.speed import RacePlan, RaceResult, RaceWatch, race
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.code import code_lines
from autotune.speed.knobs.entries import all_entries
from autotune.speed.measuring.arena import Contestant, ContestantLostError
from autotune.speed.measuring.comparison import Comparison
from autotune.speed.racing.informed import informed_guess, informed_setting
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.result import Heat
from autotune.speed.racing.words import change_words, format_changes, gain_words
from benchmarks.gpu_ground import RIVAL, Ground, Scale, compare_steps, compare_trainings, figure, milliseconds
from benchmarks.gpu_rival import loader_setting
from benchmarks.gpu_tasks import WORKLOADS, Workload

_PARTS = ("knobs", "race", "rival")
_STEPS_PER_EPOCH = 200
_OVERRUN = 1.5
"""As ``autotune speed`` has it."""
_ALONE: tuple[dict[str, Scalar], ...] = (
    {"fp32_precision_matmul": "tf32"},
    {"fp32_precision_conv": "ieee"},
    {"precision": "bf16"},
    {"precision": "fp16"},
    {"channels_last": True},
    {"channels_last": True, "precision": "bf16"},
    {"cudnn_benchmark": True},
    {"cudnn_deterministic": True},
    {"optimizer_impl": "fused"},
    {"compile": "default"},
    {"compile": "reduce-overhead"},
    {"cuda_graph": True},
    {"cuda_graph": True, "compile": "default"},
)
"""Settings that are measured alone; torch's own default for convolutions is TF32 already."""
_OF_CONVOLUTIONS = {"fp32_precision_conv", "channels_last", "cudnn_benchmark", "cudnn_deterministic"}


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    device: str
    parts: tuple[str, ...]
    alone: tuple[str, ...]
    seconds: float
    budget: int
    quads: int
    is_tiny: bool
    folder: Path
    results: Path | None

    @property
    def scale(self) -> Scale:
        """How long two contestants are compared."""
        return Scale(block_seconds=0.02, quads=4) if self.is_tiny else Scale(block_seconds=0.2, quads=self.quads)

    @property
    def pace(self) -> Pace:
        """How long the race's heats are."""
        if self.is_tiny:
            return Pace(block_seconds=0.02, floor_quads=3, screen_quads=3, confirm_quads=4)
        return Pace()

    def parameters(self, workload: Workload) -> dict[str, Scalar]:
        """Learning parameters."""
        return workload.parameters(is_tiny=self.is_tiny, steps_per_epoch=20 if self.is_tiny else _STEPS_PER_EPOCH)

    def keep(self, workload: Workload, part: str, found: object) -> None:
        """Append what was found to the file of results, as a line of JSON."""
        if self.results is not None:
            with self.results.open("a") as file:
                file.write(json.dumps({"workload": workload.name, "part": part, "found": found}) + "\n")


def measure_knobs(ground: Ground, workload: Workload, plan: Plan) -> list[str]:
    """Print what each setting gives alone; the settings that were not in force, or could not be trained with."""
    failed = []
    defaults = ground.arena.enter({})
    print("each knob alone, over torch's defaults, the loader left out:", flush=True)
    for setting in _settings(ground, workload, plan):
        words = format_changes(setting)
        try:
            contestant = ground.arena.enter(setting)
            failed += _not_in_force(contestant, workload)
            comparison = compare_steps(defaults, contestant, scale=plan.scale)
        except ContestantLostError as error:
            failed.append(f"{workload.name}: {words}: {error.kind}: {error}")
            print(f"  {words:46s} {error.kind}: {error}", flush=True)
            continue
        contestant.retire()
        times = f"{milliseconds(comparison.blocks_a)} to {milliseconds(comparison.blocks_b)}"
        start = f"{contestant.warmed.start_seconds:.1f} s to start"
        print(f"  {words:46s} {figure(comparison):20s} {times}, {start}", flush=True)
        plan.keep(workload, "knobs", {"setting": setting, "ratio": comparison.ratio, "interval": comparison.interval})
    defaults.retire()
    return failed


def _settings(ground: Ground, workload: Workload, plan: Plan) -> Iterator[dict[str, Scalar]]:
    for setting in _ALONE:
        is_meant = workload.has_convolutions or not _OF_CONVOLUTIONS & setting.keys()
        is_asked = not plan.alone or setting.keys() <= set(plan.alone)
        if not is_meant or not is_asked or (plan.is_tiny and "compile" in setting):
            continue
        if (reason := _why_not(setting, ground)) is None:
            yield setting
        else:
            print(f"  {format_changes(setting):46s} left out: {reason}", flush=True)


def _why_not(setting: Mapping[str, Scalar], ground: Ground) -> str | None:
    """Why the setting means nothing on this machine; None where it does."""
    for name, value in setting.items():
        knob = KNOBS[name]
        if (reason := knob.applies(ground.machine)) is not None:
            return f"{name}: {reason}"
        if value not in knob.candidates(ground.machine, num_cores=ground.num_cores):
            return f"{name}: {value} can't be had here"
    return None


def _not_in_force(contestant: Contestant, workload: Workload) -> list[str]:
    told = contestant.warmed.in_force
    return [
        f"{workload.name}: not in force: {name} {value!r} was set, and {told.get(name)!r} is"
        for name, value in contestant.setting.items()
        if told.get(name) != value
    ]


def race_knobs(ground: Ground, workload: Workload, plan: Plan) -> RaceResult:
    """Race all knobs from torch's defaults, and print how it went."""
    entries = all_entries(KNOBS.values(), machine=ground.machine, num_cores=ground.num_cores)
    if plan.is_tiny:
        entries = tuple(entry for entry in entries if entry.name in {"num_workers", "channels_last", "optimizer_impl"})
    result = race(
        ground.arena,
        RacePlan(
            entries=entries,
            baseline={},
            guess=informed_guess({}, entries=entries, num_cores=ground.num_cores),
            informed=informed_setting({}, entries=entries, num_cores=ground.num_cores),
            epochs=workload.run_steps // _STEPS_PER_EPOCH,
            seconds=plan.seconds,
            overrun=_OVERRUN,
            pace=plan.pace,
        ),
        watch=RaceWatch(diagnosed=lambda found: print(f"  {found.words}", flush=True), heat_over=_print_heat),
    )
    _print_race(result, plan)
    plan.keep(workload, "race", result.model_dump(mode="json"))
    return result


def _print_heat(heat: Heat) -> None:
    gain = gain_words(heat.gain) if heat.gain is not None else "-"
    start = f", {heat.start_seconds:.1f} s to start" if heat.start_seconds is not None else ""
    cost = f"{heat.seconds:.1f} s{start}"
    print(
        f"  {heat.stage:9s} {change_words(heat):46s} {heat.verdict:10s} {gain:18s} {heat.reason} ({cost})", flush=True
    )


def _print_race(result: RaceResult, plan: Plan) -> None:
    cut = ", cut short" if result.is_cut_short else ""
    print(f"winner: {format_changes(result.kept)}; the race took {result.seconds:.0f} s{cut}")
    print(f"  over torch's defaults:   {gain_words(result.gain) if result.gain else 'no gain'}")
    print(f"  over the one-liners:     {gain_words(result.informed_gain) if result.informed_gain else 'not measured'}")
    print(f"    which are {format_changes(result.informed or {})}")
    print(f"  {result.samples_per_second:,.0f} samples/s, peak {result.peak_memory_bytes / 2**20:,.0f} MiB")
    floor = "was not measured" if result.noise_floor is None else f"differs by up to {result.noise_floor:.1%}"
    print(f"  A against A {floor}; fewer digits: {', '.join(result.reduced_precision) or 'none'}")
    for even in result.break_evens:
        print(f"  {even.knob}: {even.start_seconds:.1f} s more to start, repaid after {even.steps} steps")
    for line in code_lines(result.setting, device=plan.device):
        print(f"    {line}")
    sys.stdout.flush()


def race_rival(ground: Ground, workload: Workload, plan: Plan, *, ours: Mapping[str, Scalar]) -> None:
    """Let pytorch-autotune search, and compare its step and its training with ours."""
    report = plan.folder / f"{workload.name}.report.json"
    own: dict[str, Scalar] = {"workload": workload.name, "budget": plan.budget, "report": str(report)}
    with Ground(
        RIVAL,
        parameters={**ground.parameters, **own},
        device=plan.device,
        folder=plan.folder / f"{workload.name}.rival",
        warm_seconds=plan.budget + 600.0,
    ) as theirs:
        theirs.arena.enter({}).retire()  # its search; those that follow take its winner from its cache
        found = json.loads(report.read_text())
        config = found["winner"]
        print(f"pytorch-autotune: {config}, found in {found['total_s']:.0f} s")
        loader = loader_setting(config)
        workers: dict[str, Scalar] = {"num_workers": ground.num_cores, "pin_memory": True, "persistent_workers": True}
        defaults, rival = ground.arena.enter({}), theirs.arena.enter(loader)
        _compare_rival(defaults, rival, workload, plan, "its step over the defaults'")
        defaults.retire()
        champion = ground.arena.enter(ours)
        end_to_end = "ours end to end over it with"
        _compare_rival(rival, champion, workload, plan, "our step over its")
        _compare_rival(rival, champion, workload, plan, f"{end_to_end} torch's default loader", is_whole=True)
        rival.retire()
        rival = theirs.arena.enter({**loader, **workers})
        _compare_rival(rival, champion, workload, plan, f"{end_to_end} workers = cores, pinned", is_whole=True)


def _compare_rival(
    first: Contestant, second: Contestant, workload: Workload, plan: Plan, what: str, *, is_whole: bool = False
) -> None:
    compared = (compare_trainings if is_whole else compare_steps)(first, second, scale=plan.scale)
    print(f"  {what:56s} {_row(compared)}", flush=True)
    plan.keep(workload, "rival", {"what": what, "ratio": compared.ratio, "interval": compared.interval})


def _row(compared: Comparison) -> str:
    return f"{figure(compared):20s} {milliseconds(compared.blocks_a)} to {milliseconds(compared.blocks_b)} a step"


def run(workload: Workload, plan: Plan) -> list[str]:
    """All parts of one workload; what went wrong."""
    parameters = plan.parameters(workload)
    print(f"\n== {workload.name}: batch {parameters['batch_size']}, {format_changes(parameters)}", flush=True)
    folder = plan.folder / workload.name
    failed: list[str] = []
    with Ground(workload.reference, parameters=parameters, device=plan.device, folder=folder) as ground:
        try:
            if "knobs" in plan.parts:
                failed += measure_knobs(ground, workload, plan)
            if {"race", "rival"} & set(plan.parts):
                result = race_knobs(ground, workload, plan)
                if "rival" in plan.parts and workload.is_rivals:
                    meet_rival(ground, workload, plan, ours=result.setting)
        except ContestantLostError as error:  # the next workload may fare better
            failed.append(f"{workload.name}: {error.kind}: {error}")
    return failed


def meet_rival(ground: Ground, workload: Workload, plan: Plan, *, ours: Mapping[str, Scalar]) -> None:
    """Compare with pytorch-autotune, where it is installed."""
    if importlib.util.find_spec("pytorch_autotune") is None:
        print("pytorch-autotune: not installed, left out; pip install --no-deps pytorch-autotune==2.0.0")
    else:
        race_rival(ground, workload, plan, ours=ours)


def find_device(asked: str) -> str:
    """The device, printed with its versions; ends the program where it is not there."""
    import torch

    count = torch.cuda.device_count()  # asks NVML: this process never initialises CUDA
    if asked == "cuda" and not count:
        sys.exit(
            f"benchmarks.gpu: needs a CUDA device, and torch {torch.__version__} sees none; "
            "run it where one is, or with --device cpu --tiny to try the script"
        )
    name = platform.processor() or platform.machine()
    if asked == "cuda":
        import pynvml

        pynvml.nvmlInit()
        name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
        name += f", driver {pynvml.nvmlSystemGetDriverVersion()}, CUDA {torch.version.cuda}"
        pynvml.nvmlShutdown()
    print(f"{platform.platform()}, {name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, numpy {version('numpy')}", flush=True)
    return asked


def main() -> int:
    """Run the workloads; 1 where a knob was not in force, or a workload could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that the script works")
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS), help="rival races first")
    parser.add_argument("--alone", nargs="+", default=[], metavar="KNOB", help="the part knobs of these knobs alone")
    parser.add_argument("--seconds", type=float, default=180.0, help="what one race may take")
    parser.add_argument("--budget", type=int, default=360, help="seconds of pytorch-autotune's search")
    parser.add_argument("--quads", type=int, default=8, help="of alternating blocks in each comparison, the race aside")
    parser.add_argument("--results", type=Path, help="a file to append lines of JSON to")
    parser.add_argument("--check", action="store_true", help="only look whether the device is there")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    if arguments.check:
        return 0
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYTORCH_AUTOTUNE_CACHE"] = str(folder / "rival.json")  # no winner of another day's
        plan = Plan(
            device=device,
            parts=tuple(arguments.parts),
            alone=tuple(arguments.alone),
            seconds=arguments.seconds,
            budget=arguments.budget,
            quads=arguments.quads,
            is_tiny=arguments.tiny,
            folder=folder,
            results=arguments.results,
        )
        for workload in arguments.workloads:
            failed += run(WORKLOADS[workload], plan)
    for line in failed:
        print(f"FAILED: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
