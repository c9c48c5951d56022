import pytest

from autotune.cli.display.choice import choose_display
from autotune.cli.display.plain import PlainDisplay


@pytest.mark.parametrize("no_progress", [True, False])
def test_pipe_gets_plain_lines(no_progress: bool) -> None:  # noqa: FBT001 - a flag of the command
    assert isinstance(choose_display(no_progress=no_progress), PlainDisplay)


def test_pipe_gets_plain_lines_though_colour_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(choose_display(no_progress=False), PlainDisplay)
