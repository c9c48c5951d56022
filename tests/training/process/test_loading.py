from pathlib import Path

import pytest

from autotune.errors import TaskError
from autotune.training.process.loading import load_task
from tests.training.tasks import Points

TASKS = """
import neighbour
from autotune.training import Task

class Whole(Task):
    num_setups = 0
    def setup(self): self.num_setups += neighbour.ONE
    def train_data(self, params): return []
    def validation_data(self, params): return []
    def model(self, params): return None

class Broken(Whole):
    def setup(self): raise RuntimeError("no such disk")

class Needs(Whole):
    def __init__(self, path): pass

class Half(Task):
    def model(self, params): return None

class Other: pass

NUMBER = 3
def train(trial): pass
def no_trial(): pass
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("ONE = 1\n")
    path = tmp_path / "tasks.py"
    path.write_text(TASKS)
    return path


def test_class_in_a_file_is_made_once(tasks: Path) -> None:
    task = load_task(f"{tasks}:Whole")
    task.setup()
    task.setup()
    assert task.kind == "class"
    assert getattr(task.target, "num_setups", None) == 1


def test_function_in_a_file_is_a_task(tasks: Path) -> None:
    task = load_task(f"{tasks}:train")
    assert task.kind == "function"
    assert callable(task.target)
    task.setup()


def test_class_in_a_module_is_a_task() -> None:
    assert isinstance(load_task("tests.training.tasks:Points").target, Points)


def test_module_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_training.py").write_text("def train(trial): pass\n")
    monkeypatch.setattr("sys.path", ["/nowhere"])
    monkeypatch.chdir(tmp_path)
    assert load_task("my_own_training:train").kind == "function"


def test_same_file_is_imported_once(tasks: Path) -> None:
    first, second = load_task(f"{tasks}:Whole"), load_task(f"{tasks}:Whole")
    assert type(first.target) is type(second.target)


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("nothing", r"^task: must be package\.module:Name or path/to/file\.py:Name, got 'nothing'"),
        ("{file}:", r"^task: must be package\.module:Name"),
        ("missing.py:Task", r"^task .*missing\.py: there is no such file"),
        ("no_such_package.tasks:Task", r"its import raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("{file}:Hole", r"tasks\.py has no Hole; it has Broken, Half, Needs, Other, Whole, no_trial, train"),
        (
            "{file}:Half",
            r"needs train_data, validation_data and model; add train_data\(self, params\), validation_data",
        ),
        ("{file}:Needs", r"Needs\(\) raised TypeError: .*'path'"),
        ("{file}:Other", r"must be a subclass of autotune\.training\.Task"),
        ("{file}:NUMBER", r"a subclass of autotune\.training\.Task or a function train\(trial\), got int"),
        ("{file}:no_trial", r"called with the trial alone, but too many positional arguments"),
    ],
)
def test_reference_that_leads_nowhere_says_why(tasks: Path, reference: str, rule: str) -> None:
    with pytest.raises(TaskError, match=rule):
        load_task(reference.replace("{file}", str(tasks)))


def test_setup_that_raises_is_blamed_with_its_line(tasks: Path) -> None:
    with pytest.raises(TaskError, match=r"setup\(\) raised RuntimeError: no such disk \(.*tasks\.py:13\)"):
        load_task(f"{tasks}:Broken").setup()


def test_import_that_raises_is_blamed_with_its_line_and_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "mended_later.py"
    path.write_text("x = 1\nimport no_such_thing\n")
    with pytest.raises(TaskError, match=r"ModuleNotFoundError: .*no_such_thing.*mended_later\.py:2\)"):
        load_task(f"{path}:train")
    path.write_text("def train(trial): pass\n")
    assert load_task(f"{path}:train").kind == "function"


def test_knob_with_a_wrong_value_is_blamed_with_what_is_wrong_and_with_its_line(tmp_path: Path) -> None:
    """It said "1 validation error for TaskKnob", and a line of pydantic's."""
    path = tmp_path / "wrong_knob.py"
    path.write_text(
        "from autotune.training import TaskKnob\n"
        "knob = TaskKnob(name='decoder', choices=('slow', 'fast'), numerics='weird')\n"
    )
    words = r"ValidationError: TaskKnob: numerics: Input should be 'exact', 'reordered' or .*wrong_knob\.py:2\)"
    with pytest.raises(TaskError, match=words):
        load_task(f"{path}:train")


def test_syntax_error_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken_syntax.py"
    path.write_text("def train(trial:\n")
    with pytest.raises(TaskError, match=r"its import raised SyntaxError: [^\n]+$"):
        load_task(f"{path}:train")
