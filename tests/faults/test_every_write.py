"""Some of the places at which ``make faults`` lets a write fail or kills a coordinator: all of them, in turn."""

import pytest

from tests.faults.every_write import FAULTS, Fault, inject_everywhere

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_at_any_write_loses_and_doubles_nothing(fault: Fault) -> None:
    outcome = inject_everywhere(fault, first=3, step=29)
    assert outcome.violations == []
    assert outcome.num_faults > 3
