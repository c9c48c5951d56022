from autotune.coordinator.seeds import trial_seed


def test_seed_of_a_trial_is_the_same_on_every_machine() -> None:
    assert trial_seed(0, 0) == 1_735_201_683


def test_neighbouring_studies_share_no_seeds() -> None:
    first = {trial_seed(0, number) for number in range(1000)}
    second = {trial_seed(1, number) for number in range(1000)}
    assert not first & second


def test_seed_fits_every_generator() -> None:
    assert all(0 <= trial_seed(2**63, number) < 2**32 for number in range(100))
