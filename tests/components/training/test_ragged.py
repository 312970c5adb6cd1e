"""Ragged rows: what goes in comes out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.training.ragged import Ragged


@given(rows=st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=6), data=st.data())
def test_rows_and_selections_come_out_as_they_went_in(rows: list[list[int]], data: st.DataObject) -> None:
    """Rows, their lengths, and any selection with repetitions equal those of nested lists."""
    ragged = Ragged.of(rows)
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    taken = ragged.take(np.asarray(wanted, dtype=np.int64))
    assert [ragged[row].tolist() for row in range(len(ragged))] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert [taken[place].tolist() for place in range(len(taken))] == [rows[row] for row in wanted]
