import ast
from pathlib import Path
from textwrap import dedent

import pytest

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.spec.first.script import Script, parse_script, read_script


def _parse(text: str) -> Script:
    return parse_script(ast.parse(dedent(text)), text=dedent(text))


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)", {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9}),
        ("AdamW(net.parameters(), betas=(0.8, 0.9))", {"optimizer": "adamw", "beta1": 0.8, "beta2": 0.9}),
        ("optim.Adam(p, fused=True)", {"optimizer": "adam", "optimizer_impl": "fused"}),
        ("DataLoader(data, 8 * 4, num_workers=2)", {"batch_size": 32, "num_workers": 2}),
        ("torch.backends.cudnn.benchmark = True", {"cudnn_benchmark": True}),
        ("torch.set_float32_matmul_precision('high')", {"fp32_precision_matmul": "tf32"}),
        ("model = torch.compile(model)", {"compile": "default"}),
        ("torch.autocast('cuda', dtype=torch.bfloat16)", {"precision": "bf16"}),
        ("model.to(memory_format=torch.channels_last)", {"channels_last": True}),
        ("nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)", {"gradient_clip": 1.0}),
        ("for epoch in range(1, 11): pass", {"epochs": 10}),
        ("for epoch in range(10): pass", {"epochs": 10}),
        ("torch.manual_seed(7)", {"seed": 7}),
        ("LR = 3e-4\nAdam(p, lr=LR)", {"optimizer": "adam", "lr": 3e-4}),
        ("c = {'lr': 1e-2}\nAdam(p, lr=c['lr'])", {"optimizer": "adam", "lr": 1e-2}),
        ("p.add_argument('--batch-size', default=64)\nDataLoader(d, args.batch_size)", {"batch_size": 64}),
        ("p.add_argument('--batch-size', dest=None, default=64)\nDataLoader(d, args.batch_size)", {"batch_size": 64}),
        ("print('nothing of it')", {}),
    ],
)
def test_script_is_read_from_its_text(text: str, readings: dict[str, Scalar]) -> None:
    assert {reading.name: reading.value for reading in _parse(text).readings} == readings


@pytest.mark.parametrize(
    "text",
    ["lr = 0.1\nlr = 0.2\nSGD(p, lr=lr)", "SGD(p, lr=pick())", "a = b\nb = a\nSGD(p, lr=a)", "SGD(p, lr=1 / 0)"],
)
def test_what_is_computed_is_named_with_its_line(text: str) -> None:
    (unread,) = _parse(text).unread
    assert unread.name == "lr"
    assert unread.line == len(text.splitlines())


def test_loader_that_shuffles_is_the_one_that_trains() -> None:
    script = _parse("test = DataLoader(b, batch_size=500)\ntrain = DataLoader(a, batch_size=32, shuffle=True)")
    assert script.value("batch_size") == 32


def test_script_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n")
    read_script(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("text", "message"), [("def", "train.py:1: a script must be Python"), (None, "No such file")])
def test_what_is_no_script_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "train.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_script(path)


def test_notebook_is_told_from_a_script(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text('{"cells": []}')
    with pytest.raises(InputError, match="got a notebook; `jupyter nbconvert --to script"):
        read_script(path)


def test_script_in_another_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes("# coding: latin-1\n# größer\nopt = Adam(p, lr=0.1)\n".encode("latin-1"))
    assert read_script(path).value("lr") == 0.1
    path.write_bytes(b"\xef\xbb\xbfopt = Adam(p, lr=0.2)\n")
    assert read_script(path).value("lr") == 0.2
    path.write_bytes(b"x = '\xff'\n")
    with pytest.raises(InputError, match="a script must be Python, got"):
        read_script(path)
