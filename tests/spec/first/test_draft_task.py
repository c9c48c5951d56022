import ast
from pathlib import Path
from textwrap import dedent

import pytest

from autotune.spec.first.draft_task import TaskDraft, draft_task
from autotune.spec.first.script import parse_script

SCRIPT = """
import argparse
import os
from torch.utils.data import DataLoader, TensorDataset
WIDTH = 32

def unused(): pass

class Net(nn.Module):
    pass

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--classes", default=10)
    args = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device("cuda")
    x, y = load()
    x = x.to(device)
    train = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = Net(WIDTH, args.classes).to(device)
    model = torch.compile(model)
    print(model)
    criterion = nn.MSELoss()
    opt = torch.optim.Adam(model.parameters())
"""


def _draft(text: str, *, folder: Path = Path()) -> TaskDraft:
    return draft_task(parse_script(ast.parse(dedent(text)), text=dedent(text)), path=folder / "train.py")


def test_task_has_what_its_data_and_model_need_and_no_more() -> None:
    text = _draft(SCRIPT).text
    ast.parse(text)
    for wanted in ("WIDTH = 32", "class Net", "x, y = load()", "model = Net(WIDTH, 10)", "return model"):
        assert wanted in text
    for unwanted in ("unused", "argparse", "parse_args", "import os", "device", "compile", "print", "manual_seed(0)\n"):
        assert unwanted not in text


def test_loss_that_is_no_cross_entropy_makes_a_task_without_accuracy() -> None:
    draft = _draft(SCRIPT)
    assert "return nn.MSELoss()(outputs, targets)" in draft.text
    assert not draft.is_classification
    assert "return {}" in draft.text


def test_settings_of_a_cross_entropy_are_kept() -> None:
    draft = _draft("c = nn.CrossEntropyLoss(label_smoothing=0.1)")
    assert draft.is_classification
    assert "label_smoothing=0.1" in draft.text


def test_script_with_one_loader_holds_a_fifth_of_its_data_out() -> None:
    assert "random_split(self.train_set, [0.8, 0.2]" in _draft(SCRIPT).text


@pytest.mark.parametrize(
    ("text", "missing"),
    [("x = 1", ("train_data", "validation_data", "model")), ("DataLoader(data)", ("model",))],
)
def test_what_the_text_does_not_tell_is_left_to_be_written(text: str, missing: tuple[str, ...]) -> None:
    draft = _draft(text)
    ast.parse(draft.text)
    assert draft.missing == missing


def test_module_beside_the_script_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "nets.py").touch()
    text = "from nets import Net\nmodel = Net()\nopt = Adam(model.parameters())"
    assert f"sys.path.insert(0, {str(tmp_path)!r})" in _draft(text, folder=tmp_path).text


def test_parser_of_another_name_is_not_run_by_the_task() -> None:
    text = """
    from argparse import ArgumentParser
    parser = ArgumentParser()
    parser.add_argument("--width", default=16)
    parser.add_argument("--root", required=True)
    config = parser.parse_args()
    loader = DataLoader(Pictures(config.root), batch_size=8)
    model = Net(config.width)
    opt = Adam(model.parameters())
    """
    draft = _draft(text)
    assert "model = Net(16)" in draft.text
    assert "pars" not in draft.text.partition("class MyTask")[2]
    assert draft.unbound == ("Pictures", "config", "Net")


def test_parameters_of_a_function_are_what_its_call_gives_them() -> None:
    text = """
    class Net: pass
    def data(root, *, train=True, size=4):
        return DataLoader(load(root, train, size), shuffle=True)
    def fit(model, epochs):
        opt = SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1)
    def main():
        net = Net(8)
        loader = data("pictures", size=2)
        fit(net, 3)
    main()
    """
    draft = _draft(text)
    for wanted in ("root = 'pictures'", "train = True", "size = 2", "net = Net(8)", "model = net", "return model"):
        assert wanted in draft.text
    assert draft.missing == ()
    assert draft.unbound == ("load",)


def test_model_is_that_of_the_first_optimizer_in_the_text() -> None:
    text = "g = Gen()\nd = Dis()\na = SGD(g.parameters())\nb = Adam(d.parameters())\nc = AdamW(d.parameters())"
    assert "return g" in _draft(text).text


def test_attributes_of_a_trainer_hide_no_method_of_the_task() -> None:
    text = """
    class Trainer:
        def __init__(self):
            self.model = Net()
            self.optimizer = Adam(self.model.parameters())
    """
    method = _draft(text).text.partition("def model")[2]
    assert "self.model_ = Net()" in method
    assert "return self.model_\n" in method


def test_model_and_data_that_a_trainer_is_given_are_those_of_its_call() -> None:
    text = """
    class Trainer:
        def __init__(self, model, data):
            self.model = model
            self.loader = DataLoader(data)
            self.optimizer = self.make_optimizer()
        def make_optimizer(self):
            return SGD(self.model.parameters())
    width = int("8")
    Trainer(Linear(4, width), TensorDataset(zeros(8, 4)))
    """
    draft = _draft(text)
    assert "return Linear(4, width)" in draft.text
    assert "self.train_set = TensorDataset(zeros(8, 4))" in draft.text
    assert "self" not in draft.unbound


def test_what_nothing_puts_on_self_is_told() -> None:
    text = """
    class Data:
        def train_dataloader(self):
            return DataLoader(self.pictures, shuffle=True)
    """
    assert _draft(text).unbound == ("self.pictures",)


@pytest.mark.parametrize(("use", "missing"), [("fit(Lit(8))", ()), ("pass", ("model",))])
def test_module_with_an_optimizer_of_its_own_is_made_as_the_script_makes_it(use: str, missing: tuple[str, ...]) -> None:
    text = f"""
    loader = DataLoader(data())
    class Lit(Module):
        def configure_optimizers(self):
            return Adam(self.parameters())
    {use}
    """
    draft = _draft(text)
    assert draft.missing == missing
    assert "return self\n" not in draft.text
    assert ("return Lit(8)" in draft.text) == (not missing)
