"""Word by word."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbllm.widgets.diff import MAX_WORDS, token_diff, word_diff


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


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.integers(0, 3), max_size=30))
def test_the_spans_of_tokens_are_all_of_both(a, b):
    spans = token_diff(a, b)
    ends = [(0, 0), *((j, m) for _, _, j, _, m in spans)]
    assert [(i, k) for _, i, _, k, _ in spans] == ends[:-1]
    assert ends[-1] == (len(a), len(b))
    assert all((a[i:j] == b[k:m]) is same for same, i, j, k, m in spans)


def test_what_tokens_begin_with_alike_has_no_limit():
    a = list(range(10 * MAX_WORDS))
    begin = time.monotonic()
    assert token_diff(a, [*a[:-1], -1, -2]) == [
        (True, 0, len(a) - 1, 0, len(a) - 1), (False, len(a) - 1, len(a), len(a) - 1, len(a) + 1),
    ]  # fmt: skip
    assert time.monotonic() - begin < 10


def test_after_so_many_tokens_the_rest_is_one_span():
    a, b = [0] + [2] * (MAX_WORDS + 5), [1] + [2] * MAX_WORDS
    spans = token_diff(a, b)
    assert spans[-1] == (False, MAX_WORDS, len(a), MAX_WORDS, len(b))
    assert spans[:2] == [(False, 0, 1, 0, 1), (True, 1, MAX_WORDS, 1, MAX_WORDS)]
