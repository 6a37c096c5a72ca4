"""How far a GPU may run ahead of the host."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nbllm.engine.device_rows import DeviceRows

ROW = st.tuples(st.integers(1, 40), st.integers(0, 30), st.integers(1, 50))
"""Its length, how many tokens it may get, and those that its pages hold."""


def device_rows(rows) -> DeviceRows:
    length, more, capacity = map(np.array, zip(*rows, strict=True))
    found = DeviceRows.__new__(DeviceRows)
    found.length, found._host = length, {"limit": length + more}
    found.rows = SimpleNamespace(capacity=capacity)
    return found


def may_continue(found: DeviceRows, index: np.ndarray) -> bool:
    """Some of the rows take one more step, and each of those has room for it."""
    length = found.length[index]
    going = length < found._host["limit"][index]
    return bool(going.any() and not (going & (length > found.rows.capacity[index])).any())


@given(st.lists(ROW, min_size=1, max_size=6), st.integers(1, 6))
def test_room_is_what_single_steps_find(rows, count):
    index = np.arange(len(rows))[:count]
    one, together, steps = device_rows(rows), device_rows(rows), 0
    while may_continue(one, index):
        one.advance(index)
        steps += 1
    assert together.room(index) == steps
    together.advance(index, steps)
    assert together.length.tolist() == one.length.tolist()
    assert together.room(index) == 0
