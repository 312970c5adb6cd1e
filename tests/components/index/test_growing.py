"""An array that rows are appended to."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.index.growing import GrowingArray


@given(st.lists(st.integers(0, 400), max_size=8), st.sampled_from([(), (3,)]))
def test_it_holds_what_was_appended_in_order(lengths, shape):
    """Blocks of any length, none included, with and without a second axis."""
    start = np.arange(5 * int(np.prod(shape)), dtype=np.int32).reshape(5, *shape)
    array, expected = GrowingArray(start), [start]
    for number, length in enumerate(lengths):
        rows = np.full((length, *shape), number, dtype=np.int32)
        array.append(rows)
        expected.append(rows)
    assert array.values.dtype == np.int32
    np.testing.assert_array_equal(array.values, np.concatenate(expected))


def test_the_array_it_started_with_is_never_written_to():
    """A snapshot's vectors belong to whoever read them."""
    start = np.zeros(3)
    array = GrowingArray(start)
    array.append(np.ones(2))
    array.values[0] = 7
    assert start.tolist() == [0, 0, 0]


def test_appending_row_by_row_copies_seldom():
    """10,000 single rows: the memory is exchanged a few dozen times, not 10,000 times."""
    array, memories = GrowingArray(np.zeros(0)), set()
    for number in range(10_000):
        array.append(np.array([number]))
        memories.add(array.values.__array_interface__["data"][0])
    assert len(memories) < 50
    assert array.values[-1] == 9_999
