"""Word by word."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbllm.widgets.diff import MAX_WORDS, word_diff


def only(parts, shared):
    return "".join(words for same, words in parts if same is shared)


@pytest.mark.parametrize(
    ("a", "b", "gone", "new"),
    [
        ("the old cat sat", "the new cat sat", "old ", "new "),
        ("a b c", "a b c d", "", "d"),
        ("a  b\n", "a b", "", ""),
        ("", "x", "", "x"),
        ("same", "same", "", ""),
    ],
)
def test_what_differs(a, b, gone, new):
    left, right = word_diff(a, b)
    assert (only(left, False), only(right, False)) == (gone, new)


@given(st.text("ab \n.", max_size=40), st.text("ab \n.", max_size=40))
def test_the_parts_are_the_texts(a, b):
    left, right = word_diff(a, b)
    assert "".join(words for _, words in left) == a
    assert "".join(words for _, words in right) == b
    assert only(left, True).split() == only(right, True).split()


def test_long_texts_take_no_longer_than_a_moment():
    a = "word " * (3 * MAX_WORDS)
    begin = time.monotonic()
    left, _ = word_diff(a, a + "more")
    assert time.monotonic() - begin < 10
    assert "".join(words for _, words in left) == a
