"""What is said beside a race's winner wherever it is shown: the lines to paste, and what it was not compared with."""

from collections.abc import Iterator, Sequence

NO_GUESS = "A race of a study is not compared with what an informed user would set: autotune speed does that."
PASTE = "for your script, each where its kind of thing is set up:"


def lines_to_paste(code: Sequence[str]) -> Iterator[str]:
    """What to paste, below a line that says so; nothing where there is nothing."""
    if code:
        yield ""
        yield f"# {PASTE}"
        yield from code
