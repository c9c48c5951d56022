"""Seeds of trials, from the study's seed and the trial's number alone."""

import hashlib
from collections.abc import Set as AbstractSet


def trial_seed(study_seed: int, number: int) -> int:
    """A seed in 0 to 2**32 - 1, the same on every machine.

    Hashed, not added: with ``seed + number`` the trials of neighbouring study seeds would share
    all but one of their seeds.
    """
    digest = hashlib.blake2b(f"{study_seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def fresh_seed(study_seed: int, number: int, *, purpose: str, used: AbstractSet[int]) -> int:
    """The seed of a repeated training: the same on every machine, not in ``used``, and different for each purpose."""
    attempt = 0
    while True:
        text = f"{study_seed}/{purpose}/{number}/{attempt}"
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
        if seed not in used:
            return seed
        attempt += 1
