import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_benchmark_on_a_gpu_needs_no_study_no_database_and_no_tracker() -> None:
    strangers = "{'optuna', 'mlflow', 'sqlalchemy', 'alembic', 'click', 'rich', 'ruamel'}"
    script = (
        "import sys, benchmarks.gpu, autotune.trial.fork_server, autotune.trial.child, "
        f"autotune.speed.contestant.training, autotune.training.process.rehearsal; "
        f"found = {strangers} & set(sys.modules); assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_benchmark_says_so_where_there_is_no_gpu() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--check"]
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "benchmarks.gpu: needs a CUDA device, and torch" in done.stderr


def test_networks_of_the_gpu_benchmark_have_the_sizes_of_the_papers() -> None:
    from autotune.training.parameters import Parameters
    from autotune.training.steps.models import count_parameters
    from benchmarks.gpu_tasks import WORKLOADS

    def count(name: str) -> int:
        workload = WORKLOADS[name]
        return count_parameters(workload.task().model(Parameters(workload.sizes)))

    assert count("resnet18") == 11_689_512  # torchvision's resnet18, and so the next
    assert count("resnet50") == 25_557_032
