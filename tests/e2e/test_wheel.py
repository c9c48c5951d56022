"""The wheel, installed where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("autotune", "search_spaces", "pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


def _run(command: list[str], *, folder: Path) -> str:
    # Nothing of this process's environment may lead to the checkout.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; third parties come from this one, so that nothing is downloaded."""
    sources, wheels, venv = (tmp_path_factory.mktemp(name) for name in ("sources", "wheels", "venv"))
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, sources / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(sources)]
    _run(build, folder=wheels)
    shutil.rmtree(sources)
    _run([sys.executable, "-m", "venv", "--without-pip", str(venv)], folder=venv)  # this one's pip installs there, too
    (wheel,) = wheels.glob("autotune_torch-*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]
    _run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], folder=venv)
    # A .pth in a folder that a .pth names is not read: the editable install of the checkout stays out.
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "third_parties.pth").write_text(sysconfig.get_paths()["purelib"])
    return venv


def test_wheel_carries_the_search_spaces(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "autotune")
    entries = json.loads(_run([command, "space", "list", "--json"], folder=tmp_path))
    assert [entry["name"] for entry in entries] == ["cudnn", "digits", "mnist", "mnist1d", "stdlib", "vowels"]
    assert all(Path(entry["path"]).is_relative_to(installed) for entry in entries)


def test_study_starts_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "autotune")
    _run([command, "study", "start", "digits", "--trials", "1", "--set", "log_model=false"], folder=tmp_path)
    (trial,) = json.loads(_run([command, "study", "trials", "digits", "--json"], folder=tmp_path))
    assert trial["outcome"] == "complete"
    where = _run(
        [str(installed / "bin" / "python"), "-c", "import autotune; print(autotune.__file__)"], folder=tmp_path
    )
    assert Path(where.strip()).is_relative_to(installed)
