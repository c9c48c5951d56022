"""Every way to write a spec wrong that we know of, each with the whole line that a person sees."""

import re
from pathlib import Path

import pytest

from autotune.errors import SpecError
from autotune.spec.builtin import list_spaces
from autotune.spec.load import load_spec, parse_spec
from autotune.spec.secret_parameters import secrets_in

GOOD = """\
task: autotune.tasks.mnist:Mnist
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 30, seconds: 600, epochs: 6}
sampler: tpe
pruner: {hyperband: {min_epochs: 1}}
learning:
  optimizer: {choices: [sgd, adam]}
  lr:
    low: 1e-5
    high: 1
    log: true
  momentum: {low: 0.0, high: 0.99, when: {optimizer: sgd}}
  width: {choices: [8, 16]}
  depth: {low: 1, high: 3}
speed:
  num_workers: {low: 0, high: auto}
baseline: {optimizer: adam, lr: 1e-3}
"""

TOP_KEYS = "task, objective, objectives, budget, sampler, pruner, learning, speed, speed_search, baseline, deadlines"
OPTIMIZER_RULE = "must be an optimizer, or package.module:Class of your own"

LINES = [
    ("taks: a:B", 1, "my.yaml:1: taks: must be a known key, got taks; did you mean task?"),
    ("zzz: 1", 1, f"my.yaml:1: zzz: must be a known key, got zzz; the keys here are {TOP_KEYS}"),
    ("1: 2", 1, "my.yaml:1: top level: every key must be text, got 1; quote it, or correct it"),
    ('"a\\nb": 2', 1, "my.yaml:1: top level: every key must be text, got 'a\\nb'; quote it, or correct it"),
    ("task: [a]", 1, "my.yaml:1: task: must be text, got [a]; write package.module:Class or path/to/file.py:Class"),
    ("task: mnist", 1, "my.yaml:1: task: must name a module or file, and a class or function in it, got mnist;"),
    ("task: my/task:Mnist", 1, "my.yaml:1: task: must name a module or a file that ends in .py, got my/task:Mnist;"),
    ("objective: val_loss", 2, "my.yaml:2: objective: must be a mapping, got val_loss; write {metric:"),
    ("objective: {metric: val_loss}", 2, "my.yaml:2: objective: an objective needs direction, got {metric: val_loss};"),
    (
        "objective: {metric: val_loss, direction: minimise}",
        2,
        "my.yaml:2: objective.direction: must be one of maximize, minimize, got minimise; did you mean minimize?",
    ),
    (
        "objective: {metrics: a, direction: minimize}",
        2,
        "my.yaml:2: objective.metrics: must be a known key, got metrics; did you mean metric?",
    ),
    ("objective: {metric: a, direction: minimize}\nobjectives: []", 2, "my.yaml:3: objectives: a study has either"),
    ("objectives: []", 2, "my.yaml:2: objectives: needs at least one, got []; write [{metric:"),
    ("objectives: {metric: a}", 2, "my.yaml:2: objectives: must be a list, got {metric: a}; write ["),
    (
        "objectives:\n- {metric: a, direction: minimize}\n- {metric: a, direction: maximize}",
        2,
        "my.yaml:4: objectives.1: each objective needs a metric of its own, got a; remove one of them",
    ),
    ("budget: {epochs: 3}", 3, "my.yaml:3: budget: a budget needs trials, seconds or both, got {epochs: 3}; write"),
    ("budget: {trials: 0}", 3, "my.yaml:3: budget.trials: must be at least 1, got 0; raise it"),
    ("budget: {trials: 2.5}", 3, "my.yaml:3: budget.trials: must be a whole number, got 2.5; write digits"),
    ("budget: {trials: true}", 3, "my.yaml:3: budget.trials: must be a whole number, got true; write digits"),
    ("budget: {trials: '3'}", 3, "my.yaml:3: budget.trials: must be a whole number, got '3'; write digits"),
    ("budget: {seconds: 0}", 3, "my.yaml:3: budget.seconds: must be above 0, got 0; raise it"),
    ("budget: {seconds: .nan}", 3, "my.yaml:3: budget.seconds: must be a finite number, got nan; write one"),
    ("budget: {seconds: 1e999}", 3, "my.yaml:3: budget.seconds: must be a finite number, got inf; write one"),
    ("budget: {trials: 99999999999999999}", 3, "my.yaml:3: budget.trials: must be at most 9007199254740992, got"),
    ("budget: {second: 3}", 3, "my.yaml:3: budget.second: must be a known key, got second; did you mean seconds?"),
    ("sampler: tep", 4, "my.yaml:4: sampler: must be one of tpe, gp, cmaes, qmc, random, grid, nsgaii, got tep;"),
    ("sampler: {tpe: {startups: 3}}", 4, "my.yaml:4: sampler.tpe.startups: must be a known key, got startups;"),
    ("sampler: {tpe: {startup_trials: -1}}", 4, "my.yaml:4: sampler.tpe.startup_trials: must be at least 0, got -1;"),
    ("sampler: {random: {seed: 3}}", 4, "my.yaml:4: sampler.random: random has no options, got {seed: 3}; write"),
    ("sampler: {tpe: {}, gp: {}}", 4, "my.yaml:4: sampler: must name one, got {tpe: {}, gp: {}}; write tpe, or"),
    ("sampler: 3", 4, "my.yaml:4: sampler: must be one of tpe,"),
    ("pruner: hyperbnd", 5, "my.yaml:5: pruner: must be one of hyperband, successive_halving, median, percentile,"),
    (
        "pruner: {hyperband: {min_epochs: 7}}",
        5,
        "my.yaml:5: pruner.hyperband.min_epochs: must be at most budget.epochs=6, got 7; lower it",
    ),
    (
        "pruner: {hyperband: {reduction_factor: 1}}",
        5,
        "my.yaml:5: pruner.hyperband.reduction_factor: must be at least 2, got 1; move it inside",
    ),
    ("pruner: {percentile: {percentile: 101}}", 5, "my.yaml:5: pruner.percentile.percentile: must be at most 100,"),
    ("pruner: threshold", 5, "my.yaml:5: pruner: threshold needs lower, upper or both, got threshold; write"),
    ("pruner: {threshold: {lower: 2, upper: 1}}", 5, "my.yaml:5: pruner: lower must be at most upper, got lower=2"),
    ("  optimizer: adm", 7, f"my.yaml:7: learning.optimizer: {OPTIMIZER_RULE}, got adm; did you mean adam?"),
    (
        "  optimizer: {choices: [sgd, lbfgs]}",
        7,
        f"my.yaml:7: learning.optimizer.choices.1: {OPTIMIZER_RULE}, got lbfgs; LBFGS needs a closure,",
    ),
    ("  optimizer: {low: 1, high: 2}", 7, "my.yaml:7: learning.optimizer: must be choices, not a range, got low and"),
    ("    low: 0", 9, "my.yaml:9: learning.lr.low: a log range needs low > 0, got low=0; raise low, or set log: false"),
    ("    low: 2", 9, "my.yaml:8: learning.lr: low must be below high, got low=2 and high=1; swap them,"),
    ("    low: 1", 9, "my.yaml:8: learning.lr: low must be below high, got low=1 and high=1; swap them,"),
    ("    low: abc", 9, "my.yaml:9: learning.lr.low: must be a number, got abc; write digits without quotes"),
    (
        "    low: auto",
        9,
        "my.yaml:9: learning.lr.low: auto stands for the cores, in num_workers and torch_threads alone,",
    ),
    ("    hgih: 1", 10, "my.yaml:10: learning.lr.hgih: must be a known key, got hgih; did you mean high?"),
    ("    log: 1", 11, "my.yaml:11: learning.lr.log: must be true or false, got 1; write true or false"),
    ("    log: yes", 11, "my.yaml:11: learning.lr.log: must be true or false, got 'yes'; write true or false"),
    ("    step: 2", 11, "my.yaml:11: learning.lr.step: step must fit between low and high, got 2; lower step,"),
    ("    log: true\n    step: 0.1", 11, "my.yaml:12: learning.lr.step: a log range takes no step, got 0.1; remove"),
    ("    type: int", 11, "my.yaml:11: learning.lr.type: an int range needs whole bounds, got low=1e-05 and high=1;"),
    ("    choices: [1]", 11, "my.yaml:9: learning.lr.low: choices take no low, high, log or step, got 1e-05; remove"),
    (
        "  momentum: {low: 0.0, high: 0.99, when: {optimiser: sgd}}",
        12,
        "my.yaml:12: learning.momentum.when.optimiser: when must name a parameter of this spec, got optimiser; did you",
    ),
    (
        "  momentum: {low: 0.0, high: 0.99, when: {optimizer: sdg}}",
        12,
        "my.yaml:12: learning.momentum.when.optimizer: must be a choice of optimizer, got sdg; did you mean sgd?",
    ),
    (
        "  momentum: {low: 0.0, high: 0.99, when: {optimizer: []}}",
        12,
        "my.yaml:12: learning.momentum.when.optimizer: a condition needs at least one value, got []; write the",
    ),
    (
        "  momentum: {low: 0.0, high: 0.99, when: {lr: 0.1}}",
        12,
        "my.yaml:12: learning.momentum.when.lr: a condition needs choices or whole numbers, got lr, a range of floats;",
    ),
    (
        "  momentum: {low: 0.0, high: 0.99, when: {depth: 9}}",
        12,
        "my.yaml:12: learning.momentum.when.depth: must be a value that can come up, got 9 for depth from 1 to 3;",
    ),
    (
        "  momentum: {low: 0.0, high: 0.99, when: {momentum: 0.5}}",
        12,
        "my.yaml:12: learning.momentum.when.momentum: a condition needs choices or whole numbers,",
    ),
    ("  momentum: {low: 0.0, high: 1.5}", 12, "my.yaml:12: learning.momentum.high: must be at most 1, got 1.5; move"),
    ("  beta1: 1.0", 12, "my.yaml:12: learning.beta1: must be below 1, got 1.0; move it inside"),
    ("  batch_size: 0", 12, "my.yaml:12: learning.batch_size: must be at least 1, got 0; move it inside"),
    ("  batch_size: {low: 1.0, high: 8.0}", 12, "my.yaml:12: learning.batch_size: must be a range of whole numbers,"),
    ("  batch_size: {choices: [8, 1.5]}", 12, "my.yaml:12: learning.batch_size.choices.1: must be a whole number, got"),
    ("  schedule: {choices: [cosine, stp]}", 12, "my.yaml:12: learning.schedule.choices.1: must be one of constant,"),
    ("  nesterov: {low: 0, high: 1}", 12, "my.yaml:12: learning.nesterov: must be choices, not a range, got low and"),
    ("  warmup: '0.1'", 12, "my.yaml:12: learning.warmup: must be a number, got '0.1'; write digits without quotes"),
    (
        "  width: [8, 16]",
        13,
        "my.yaml:13: learning.width: must be a plain value, a range or choices, got [8, 16]; write",
    ),
    ("  width: {choices: []}", 13, "my.yaml:13: learning.width.choices: needs at least one choice, got []; write"),
    ("  width: {choices: [8, 8.0]}", 13, "my.yaml:13: learning.width.choices.1: choices must differ from each other,"),
    ("  width: {choices: 8}", 13, "my.yaml:13: learning.width.choices: must be a list, got 8; write [a, b]"),
    ("  width: {choices: [[8]]}", 13, "my.yaml:13: learning.width.choices.0: must be a plain value, got [8]; write"),
    ("  width: {low: 1}", 13, "my.yaml:13: learning.width: a searched parameter needs low and high, or choices, got"),
    ("  width: {}", 13, "my.yaml:13: learning.width: a searched parameter needs low and high, or choices, got {};"),
    ("  width: 2020-01-01", 13, "my.yaml:13: learning.width: must be a plain value, got 2020-01-01; write a number,"),
    ('  width: "a\\0"', 13, "my.yaml:13: learning.width: must be one line of printable text, got 'a\\x00'; remove"),
    ('  width: "\\ud800"', 13, "my.yaml:13: learning.width: must be one line of printable text, got '\\ud800'; remove"),
    ("  my-width: 3", 13, "my.yaml:13: learning.my-width: a parameter's name has letters, digits and underscores, got"),
    (
        "  depth: {low: 1, high: 4, step: 2}",
        14,
        "my.yaml:14: learning.depth.step: high must lie a whole number of steps",
    ),
    ("  depth: {low: 1, high: 4, step: 0}", 14, "my.yaml:14: learning.depth.step: step must be above 0, got 0; raise"),
    ("  width: 3", 14, "my.yaml:14: a key must stand once in its mapping, got an error: found duplicate key"),
    ("  width: 3", 16, "my.yaml:16: speed.width: a parameter stands in learning or in speed, got both; remove"),
    ("baseline: [adam]", 17, "my.yaml:17: baseline: must be a mapping, got [adam]; write {optimizer: adam, lr: 1e-3}"),
    ("baseline: {lr: [1]}", 17, "my.yaml:17: baseline.lr: must be a plain value, got [1]; write a number, text,"),
    ("deadlines: {silence: 5}", 17, "my.yaml:17: deadlines.silence: must be a known key, got silence; did you mean"),
    ("deadlines: {trial_seconds: 0}", 17, "my.yaml:17: deadlines.trial_seconds: must be above 0, got 0; raise it, or"),
    ("checkpoints: {max_bytes: -1}", 17, "my.yaml:17: checkpoints.max_bytes: must be at least 0, got -1; raise it, or"),
    (
        "checkpoints: {max: 1}",
        17,
        "my.yaml:17: checkpoints.max: must be a known key, got max; the keys here are max_bytes",
    ),
    ("seed: -1", 17, "my.yaml:17: seed: must be at least 0, got -1; raise it"),
    ("seed: 4294967296", 17, "my.yaml:17: seed: must be at most 4294967295, got 4294967296; lower it"),
    ("device: gpu", 17, "my.yaml:17: device: must be auto, cpu, cuda or cuda:N, got gpu; write one of them"),
    ("\tseed: 1", 17, "my.yaml:17: the file must be YAML, got an error: found character '\\t' that cannot start any"),
    ("seed: {a: [1}", 17, "my.yaml:17: the file must be YAML, got an error: expected ',' or ']', but got '}';"),
    (
        "seed: !foo 3",
        17,
        "my.yaml:17: the file must hold plain values, got an error: could not determine a constructor",
    ),
    ("---\nseed: 3", 17, "my.yaml:17: the file must hold one document, got an error: but found another document;"),
]


def replaced(line: str, number: int) -> str:
    lines = GOOD.splitlines()
    lines[number - 1] = line
    return "\n".join(lines)


def test_the_spec_that_the_others_are_made_from_is_good() -> None:
    assert parse_spec(GOOD, origin="my.yaml").spec.learning["width"]


@pytest.mark.parametrize(
    ("line", "number", "message"), LINES, ids=[f"line {number}: {line[:80]}" for line, number, _ in LINES]
)
def test_error_names_file_line_key_rule_value_and_remedy(line: str, number: int, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}") as caught:
        parse_spec(replaced(line, number), origin="my.yaml")
    assert re.fullmatch(r"my\.yaml:\d+: .+, got .+; .+", str(caught.value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.yaml:1: the file must be a mapping with task, objective, budget and learning, got nothing; see"),
        ("- a\n", "my.yaml:1: the file must be a mapping with task, objective, budget and learning, got [a]; see"),
        ("hello", "my.yaml:1: the file must be a mapping with task, objective, budget and learning, got hello; see"),
        ("a: \x01", "my.yaml:1: the file must be YAML, got"),
        ("[" * 5000, "my.yaml:1: the file must be"),
        ("a: &x [*x]\n", "my.yaml:1: a: must be a known key, got a;"),
        ("task: a:B\n", "my.yaml:1: objective: a study spec needs this key, got none; write objective: {metric:"),
        (
            "objective: {metric: a, direction: minimize}",
            "my.yaml:1: budget: a study spec needs this key, got none; write budget: {trials:",
        ),
        (
            "objective: {metric: a, direction: minimize}\nbudget: {trials: 3}\nlearning: {a: 3}",
            "my.yaml:3: learning: a study needs a parameter to search, got none; write learning:",
        ),
        (
            "objective: {metric: a, direction: minimize}\nbudget: {trials: 3}\nlearning: {a: {low: 0, high: 3}}",
            "my.yaml:1: task: a study spec needs this key, got none; write task: autotune.tasks.mnist:Mnist",
        ),
    ],
)
def test_text_that_is_no_spec_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}") as caught:
        parse_spec(text, origin="my.yaml")
    assert "\n" not in str(caught.value)


def test_conditions_that_form_a_circle_are_refused_with_the_circle() -> None:
    text = GOOD.replace("width: {choices: [8, 16]}", "width: {choices: [8, 16], when: {depth: 1}}").replace(
        "depth: {low: 1, high: 3}", "depth: {low: 1, high: 3, when: {width: 8}}"
    )
    message = "my.yaml:13: learning.width.when: conditions must not form a circle, got width → depth → width; remove"
    with pytest.raises(SpecError, match=re.escape(message)):
        parse_spec(text, origin="my.yaml")


def test_several_objectives_are_refused_for_cmaes() -> None:
    objectives = "objectives: [{metric: a, direction: minimize}, {metric: b, direction: minimize}]"
    text = replaced(objectives, 2).replace("sampler: tpe", "sampler: cmaes")
    with pytest.raises(SpecError, match=r"my\.yaml:4: sampler: cmaes searches for one objective, got 2; choose"):
        parse_spec(text, origin="my.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: the file must be readable, got 'No such file or directory'; "):
        load_spec(str(tmp_path / "none.yaml"))


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r": the file must be readable, got 'Is a directory'; "):
        load_spec(str(tmp_path))


def test_a_file_of_bytes_is_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"task: \xff")
    with pytest.raises(SpecError, match=r"bytes\.yaml:1: the file must be UTF-8 text, got byte 6 that is not; save"):
        load_spec(str(path))


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match=r"^SPEC: must be a YAML file, .*, got 'minst'; did you mean mnist\?$"):
        load_spec("minst")


@pytest.mark.parametrize("space", ["qqqqqq", "", ".", "/"])
def test_a_name_like_none_is_answered_with_all_that_come_along(space: str) -> None:
    with pytest.raises(SpecError, match=rf"^SPEC: .*those that come along are {', '.join(list_spaces())}$"):
        load_spec(space)


def test_a_script_in_the_place_of_a_spec_is_answered_with_what_drafts_one() -> None:
    """It read that a class was to be named, which is none for a spec either."""
    with pytest.raises(SpecError, match=r"^--spec: must be a YAML file, got 'train.py'; `autotune init DIR --from tr"):
        secrets_in(Path("train.py"))


def test_a_name_that_was_meant_for_a_task_is_answered_with_what_a_task_looks_like() -> None:
    with pytest.raises(
        SpecError, match=r"^TASK: must be .*, or a task as package\.module:Class or file\.py:Class, got"
    ):
        load_spec("nosuch", called="TASK")


def test_a_script_without_a_name_in_it_is_no_task() -> None:
    with pytest.raises(SpecError, match=r"got 'tasks/own\.py'; write tasks/own\.py:NAME$"):
        load_spec("tasks/own.py", called="TASK")


def test_a_task_by_the_name_of_a_space_is_answered_with_that_spaces_task() -> None:
    with pytest.raises(SpecError, match=r"got mnist1d; write autotune\.tasks\.mnist1d:Mnist1d$"):
        load_spec("digits", overrides=["task=mnist1d"])
