"""How a heat reads, wherever it is shown: in the terminal, in a report, in Optuna's dashboard."""

from autotune.speed.racing.result import Heat


def tried_words(heat: Heat) -> str:
    """What was tried; of the guess of an informed user, which is the winner's opponent, that it is that.

    The gain of such a heat is the winner's over the guess.
    """
    words = heat.change_words
    return f"the winner against an informed guess: {words}" if heat.stage == "informed" else words
