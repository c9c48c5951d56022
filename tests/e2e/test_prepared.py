import signal

import pytest

from tests.e2e import prepared
from tests.e2e.home import Home

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("study", "trials", "tiny"), 0),
        (("study", "trials", "nobody"), 2),
        (("trial", "replay", "tiny", "77"), 2),
        (("study", "trials", "tiny", "--unheard-of"), 2),
    ],
)
def test_command_from_a_prepared_process_does_what_the_program_does(
    finished: Home, words: tuple[str, ...], status: int
) -> None:
    ours, theirs = finished.run(*words, status=status), finished.run_afresh(*words, status=status)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)


def test_command_from_a_prepared_process_has_the_environment_of_this_test(
    finished: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_STORAGE", "sqlite:///nowhere.db")
    assert "nowhere.db: no such database" in finished.run("study", "list", status=2).stderr


def test_command_from_a_prepared_process_that_takes_too_long_is_killed(finished: Home) -> None:
    done = prepared.run(["study", "watch", "nobody", "--wait", "60"], folder=finished.folder, timeout=0.5)
    assert done.returncode == -signal.SIGKILL
    assert len(finished.read("study", "trials", "tiny")) == 4
