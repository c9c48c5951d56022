import subprocess
import sys

import autotune.speed


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert autotune.speed.__all__ == sorted(autotune.speed.__all__)
    for name in autotune.speed.__all__:
        assert getattr(autotune.speed, name).__module__.startswith("autotune.speed.")


def test_measuring_and_comparing_need_no_torch() -> None:
    program = (
        "import sys; from autotune.speed import compare, measure;"
        "measure(lambda: 1, blocks=6, seconds=0.0); compare(lambda: 1, lambda: 1, seconds=0.0);"
        "print('torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_a_knob_is_had_without_the_measuring() -> None:
    program = (
        "import sys; import autotune.speed.knobs;"
        "print([name for name in ('autotune.speed.comparison', 'numpy') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
