import pytest

from autotune.proof.rounds import plan_rounds, split_rounds


def planned(order: str, winners: str, *, repeats: int, is_open: bool = True) -> str:
    return " ".join(
        "".join(each) for each in plan_rounds(order, reference="A", winners=winners, repeats=repeats, is_open=is_open)
    )


def test_every_other_round_runs_backwards() -> None:
    assert planned("", "B", repeats=3) == "AB BA AB"
    assert planned("", "BC", repeats=2) == "ABC CBA"


def test_more_repeats_add_only_what_is_missing() -> None:
    assert planned("ABBAAB", "B", repeats=5) == "BA AB"


def test_new_winner_gets_trainings_of_the_reference_of_its_own() -> None:
    assert planned("ABBAAB", "C", repeats=3) == "AC CA AC"


def test_of_two_winners_each_has_as_many_rounds_as_it_lacks() -> None:
    assert planned("ABBA", "BC", repeats=3) == "ABC CA AC"


@pytest.mark.parametrize(("order", "rest"), [("A", "B BA"), ("ABB", "A")])
def test_half_a_round_goes_on_soon_after(order: str, rest: str) -> None:
    assert planned(order, "B", repeats=2) == rest


def test_half_a_round_of_long_ago_is_left_alone() -> None:
    assert planned("ABA", "B", repeats=2, is_open=False) == "AB"


def test_half_a_round_of_an_earlier_winner_is_left_alone() -> None:
    assert planned("ABB", "C", repeats=1) == "AC"


@pytest.mark.parametrize("first", ["", "A", "AB", "ABB", "ABBA", "ABBAA"])
@pytest.mark.parametrize("winners", ["B", "C", "BC", "CB", "BCD"])
@pytest.mark.parametrize("is_open", [True, False])
def test_order_falls_into_the_rounds_that_were_planned(first: str, winners: str, *, is_open: bool) -> None:
    plan = plan_rounds(first, reference="A", winners=winners, repeats=3, is_open=is_open)

    rounds = split_rounds([*first, *(who for each in plan for who in each)])

    for winner in winners:
        assert sum(winner in each and "A" in each for each in rounds) == 3
