"""The root command, and the one place where an error becomes a message and an exit status."""

import atexit
import os
import sys
import warnings
from typing import NoReturn

import click

from autotune.cli.lazy import LazyCommand, LazyGroup
from autotune.errors import AutotuneError, InputError
from autotune.garbage import collected_seldom

root = LazyGroup(
    name="autotune",
    help="""Finds the configuration with which a PyTorch training reaches its target soonest.

    Start with `autotune study start`, which runs the study that comes with the package.

    Exit status: 0 done, 1 failed, 2 wrong usage or input, 130 stopped by a signal.
    """,
    lazy={
        "init": LazyCommand(
            "autotune.cli.initialising:init",
            "Write a task file and a study spec that run as they are, with every line explained.",
        ),
        "study": LazyCommand("autotune.cli.study.group:study", "Start, resume and look at studies."),
        "trial": LazyCommand("autotune.cli.trial.group:trial", "Work with one trial of a study."),
        "speed": LazyCommand(
            "autotune.cli.speeding:speed", "Find what makes a training faster on this machine, in seconds."
        ),
        "storage": LazyCommand(
            "autotune.cli.storage.group:storage", "Back up, check and upgrade the database that studies live in."
        ),
        "space": LazyCommand("autotune.cli.space.group:space", "Look at study specs and their search spaces."),
        "hardware": LazyCommand("autotune.cli.hardware:hardware", "Show the machine at hand as studies see it."),
        "doctor": LazyCommand("autotune.cli.doctoring:doctor", "Check this machine's set-up, and say what to mend."),
        "dashboard": LazyCommand("autotune.cli.servers:dashboard", "Serve the Optuna dashboard of a storage."),
        "mlflow": LazyCommand("autotune.cli.servers:mlflow", "Serve the MLflow UI with the recorded runs."),
        "completion": LazyCommand("autotune.cli.completion:completion", "Print the script that completes in a shell."),
    },
)
click.version_option(package_name="autotune-torch", prog_name="autotune")(root)

INTERRUPTED_STATUS = 130
"""128 + SIGINT, as shells count it."""


def main() -> NoReturn:
    """Runs the command line of this process and exits with its status, whatever its threads are doing."""
    ending = _Ending()
    atexit.register(ending.end)  # the first to be registered is the last to be called
    try:
        with collected_seldom():  # to its end: a command imports as it goes along
            _run()
    except SystemExit as leaving:
        ending.status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        raise


class _Ending:
    """Ends this process without the interpreter's own end where a daemon thread is still at work.

    The publisher is left behind so, by an error or while MLflow does not answer. The interpreter would unwind its
    stack at its next step, which aborts the process (SIGABRT) where pydantic's Rust is on that stack.
    """

    def __init__(self) -> None:
        self.status = 1
        """The exit status; that of a bug unless another is set."""

    def end(self) -> None:
        import threading

        if threading.active_count() > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.status)


def _run() -> NoReturn:
    _mend_streams()
    try:
        _check_working_directory()
        status = root.main(prog_name="autotune", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"Try '{error.ctx.command_path} --help' for help."
            click.echo(f"{error.ctx.get_usage()}\n{hint}\n", err=True)
        _echo_error(error.format_message())
        sys.exit(error.exit_code)
    except click.Abort as abort:
        click.echo("Aborted!", err=True)
        # click's own status for Ctrl-C is 1, which would say that something failed; its prompts hide the cause.
        is_interrupted = isinstance(abort.__cause__ or abort.__context__, KeyboardInterrupt)
        sys.exit(INTERRUPTED_STATUS if is_interrupted else 1)
    except AutotuneError as error:
        _echo_error(_printable(str(error)))
        sys.exit(error.exit_status)
    sys.exit(status)


def _echo_error(text: str) -> None:
    from autotune.cli.output import echo_error

    echo_error(text)


def _mend_streams() -> None:
    """Let no shown text end the program: what a stream can't encode is replaced, and a closed one takes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - pathlib would be one more import for --help
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:
        # Warnings of libraries are for developers. Modules that two threads import at once slip past their own filters.
        warnings.simplefilter("ignore")


def _check_working_directory() -> None:
    try:
        os.getcwd()  # noqa: PTH109 - as above
    except FileNotFoundError:
        raise InputError("working directory: it must exist, got one that was deleted; change to another") from None


def _printable(text: str) -> str:
    """The text without control characters, line breaks aside: it may quote what a task wrote, or torch at length."""
    from autotune.shortages import shorten

    text = text.encode(errors="backslashreplace").decode()  # arguments that are no UTF-8
    return shorten("".join(character if character.isprintable() or character == "\n" else " " for character in text))
