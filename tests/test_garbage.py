import gc

import pytest

from autotune.garbage import collected_seldom


def test_garbage_is_looked_for_seldom_until_the_block_ends_however_it_ends() -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        with collected_seldom():
            assert gc.isenabled()
            assert gc.get_threshold()[0] > 10 * 700
        assert gc.get_threshold() == (700, 10, 10)
        with pytest.raises(ValueError, match="in it"), collected_seldom():
            raise ValueError("in it")
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*before)
