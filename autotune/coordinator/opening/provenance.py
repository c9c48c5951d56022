"""Which version of the user's code a trial ran, where git knows."""

import subprocess
from pathlib import Path


def git_commit(task: str) -> str | None:
    """The commit of the repository that holds the task, with ``-dirty`` when files differ from it.

    A task given as a file is looked up in its own folder, one given as a module in the
    current folder. None where there is no git, no repository or no commit.
    """
    location = task.rpartition(":")[0]
    folder = Path(location).parent if location.endswith(".py") else Path.cwd()
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
