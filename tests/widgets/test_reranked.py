"""Re-ranked records of beam searches are what searching again finds."""

import numpy as np
import pytest
from beam_outputs import Words, searched

from nbllm import BeamSearchParams
from nbllm.widgets.reranked import reranked

WIDE = {"beam_width": 6, "max_tokens": 12}
# what the wide search drops at step 2 is what the greedy one takes
GARDEN = {
    (): {1: 0.4, 2: 0.35, 3: 0.25},
    (1,): {4: 0.2, 5: 0.2, 6: 0.2, 7: 0.2, 8: 0.2},
    (2,): {4: 0.5, 5: 0.5},
    (3,): {4: 0.9, 5: 0.1},
}


def same(one, other):
    """Whether two searches found the same, candidate by candidate."""
    for a, b in zip(one.sequences, other.sequences, strict=True):
        assert a.generated_token_ids == b.generated_token_ids
        assert a.generated_text == b.generated_text
        assert (a.finish_reason, a.stop_reason) == (b.finish_reason, b.stop_reason)
        assert a.score == pytest.approx(b.score, abs=1e-4)
        assert a.token_logprobs == pytest.approx(b.token_logprobs, abs=1e-4)
    trace, expected = one.trace_frame(), other.trace_frame()
    assert trace.shape == expected.shape
    assert list(trace.state.value_counts().sort_index()) == list(
        expected.state.value_counts().sort_index()
    )
    assert np.allclose(trace.score, expected.score, atol=1e-4)
    return True


@pytest.fixture(scope="module")
def wide(ascii_llm):
    [output] = ascii_llm.beam_search("abc", BeamSearchParams(**WIDE))
    return output


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"length_penalty": 0.0},
        {"length_penalty": 3.0},
        {"max_tokens": 5},
        {"max_tokens": 1},
        {"num_return_sequences": 2},
        {"max_tokens": 7, "length_penalty": -1.0, "num_return_sequences": 3},
    ],
    ids=str,
)
def test_what_the_record_always_says(wide, ascii_llm, changes):
    params = BeamSearchParams(**{**WIDE, **changes})
    [expected] = ascii_llm.beam_search("abc", params)
    found = reranked(wide, params)
    assert same(found, expected)
    assert found.finished


def test_narrower_searches(ascii_llm):
    """Where the record says what a narrower search finds, it is right."""
    said = 0
    for prompt in ("abc", "hello", "zz top", "a", "12 34"):
        [output] = ascii_llm.beam_search(prompt, BeamSearchParams(**WIDE))
        for width in range(1, 6):
            params = BeamSearchParams(beam_width=width, max_tokens=12)
            if (found := reranked(output, params)) is not None:
                said += 1
                assert same(found, ascii_llm.beam_search(prompt, params)[0])
    assert said >= 5


def test_what_a_narrower_search_keeps_may_have_been_pruned():
    words = Words("a", "b", "c", "d", "e", "f", "g", "h")

    def choices(ids):
        return GARDEN.get(ids[:1] if ids else (), {4: 0.6, 5: 0.4})

    def search(width, steps):
        return searched(words, choices, BeamSearchParams(beam_width=width, max_tokens=steps))

    wide = search(2, 3)
    # greedy takes a, whose continuations are all less likely than those of b
    assert search(1, 3).sequences[0].generated_token_ids[0] == 1
    assert wide.sequences[0].generated_token_ids[0] == 2
    assert reranked(wide, BeamSearchParams(beam_width=1, max_tokens=3)) is None
    # after the last step nobody needs what comes next
    narrow = BeamSearchParams(beam_width=1, max_tokens=2)
    assert same(reranked(wide, narrow), search(1, 2))


def test_beams_that_die_out():
    """All end at once: a longer search would find the same."""
    words = Words("a", "b", "c")

    def choices(ids):
        return {0: 1.0} if len(ids) > 1 else {1: 0.5, 2: 0.3, 3: 0.2}

    wide = searched(words, choices, BeamSearchParams(beam_width=3, max_tokens=8))
    assert wide.history.num_steps == 3
    for width, steps in [(3, 8), (2, 8), (1, 8), (2, 20), (3, 2)]:
        params = BeamSearchParams(beam_width=width, max_tokens=steps)
        assert same(reranked(wide, params), searched(words, choices, params))


def test_an_interrupted_search_stays_one(ascii_llm):
    words = Words("a", "b", "c")

    def choices(ids):
        return {1: 0.5, 2: 0.3, 3: 0.2}

    params = BeamSearchParams(beam_width=2, max_tokens=9)
    half = searched(words, choices, params, num_steps=4)
    other = reranked(half, BeamSearchParams(beam_width=2, max_tokens=9, length_penalty=2.0))
    assert other.aborted
    assert {s.finish_reason for s in other.sequences} == {"abort"}
    # but the whole of a shorter one is there
    short = reranked(half, BeamSearchParams(beam_width=2, max_tokens=3))
    assert short.finished
    assert {s.finish_reason for s in short.sequences} == {"length"}
    nothing = searched(words, choices, params, num_steps=0)
    assert reranked(nothing, params).sequences[0].generated_token_ids == []


@pytest.mark.parametrize(
    "changes",
    [
        {"beam_width": 7},
        {"max_tokens": 13},
        {"temperature": 0.5},
        {"ignore_eos": True},
        {"stop": ["a"]},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_what_has_to_be_searched_again(wide, changes):
    assert reranked(wide, BeamSearchParams(**{**WIDE, **changes})) is None


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_rules_of_hugging_face(ascii_llm, early_stopping):
    """The penalty orders what was found; except with True, it also decides when to end."""
    base = {**WIDE, "early_stopping": early_stopping}
    [output] = ascii_llm.beam_search("abc", BeamSearchParams(**base))
    params = BeamSearchParams(**base, length_penalty=0.2)
    found = reranked(output, params)
    assert (found is not None) is (early_stopping is True)
    if found is not None:
        assert same(found, ascii_llm.beam_search("abc", params)[0])
    assert reranked(output, BeamSearchParams(**{**base, "beam_width": 3})) is None
    assert reranked(output, BeamSearchParams(**{**base, "max_tokens": 6})) is None


def test_groups(ascii_llm):
    base = {**WIDE, "num_beam_groups": 2, "diversity_penalty": 0.5}
    [output] = ascii_llm.beam_search("abc", BeamSearchParams(**base))
    params = BeamSearchParams(**{**base, "length_penalty": 2.0, "max_tokens": 6})
    assert same(reranked(output, params), ascii_llm.beam_search("abc", params)[0])
    assert reranked(output, BeamSearchParams(**{**base, "beam_width": 4})) is None
