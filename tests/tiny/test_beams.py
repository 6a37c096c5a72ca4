"""On the garden-path translations beam search is what the textbooks say it is."""

import pytest

from nbllm import LLM, BeamSearchParams, SamplingParams
from nbllm.assets.recipe import evaluate
from nbllm.assets.recipe.checks import CHECKS
from nbllm.assets.recipe.documents import render

NUM_ITEMS = 32


@pytest.fixture(scope="module")
def llm(folder):
    with LLM(folder) as llm:
        yield llm


@pytest.fixture(scope="module")
def items():
    return evaluate.heldout_items(NUM_ITEMS)["garden path"]


def prompts(llm, items) -> list[list[int]]:
    # rendered prompts hold their special tokens
    return [
        llm.tokenizer.encode(render(i.prompt, prompt=True), add_special_tokens=False) for i in items
    ]


def accuracy(items, texts: list[str]) -> float:
    right = [CHECKS[i.check](t, i.expected) for i, t in zip(items, texts, strict=True)]
    return sum(right) / len(right)


def test_accuracy_rises_with_the_width(llm, items):
    values = []
    for width in (1, 2, 5):
        params = BeamSearchParams(beam_width=width, max_tokens=48)
        outputs = llm.beam_search(prompts(llm, items), params)
        values.append(accuracy(items, [o.sequences[0].generated_text for o in outputs]))
    assert values == sorted(values)
    assert values[2] >= 0.9
    assert values[2] > values[0] + 0.2


def test_one_beam_is_greedy(llm, items):
    params = BeamSearchParams(beam_width=1, max_tokens=48, early_stopping=True)
    found = llm.beam_search(prompts(llm, items), params)
    greedy = SamplingParams(temperature=0, max_tokens=48)
    made = llm.generate(prompts(llm, items), greedy, use_tqdm=False)
    assert [o.sequences[0].generated_text for o in found] == [o.outputs[0].text for o in made]


def test_nothing_in_the_trace_is_lost(llm, items):
    """The right translation, which greedy decoding gives up at its first word, is there to see."""
    [prompt] = prompts(llm, items[:1])
    [output] = llm.beam_search([prompt], BeamSearchParams(beam_width=5, max_tokens=48))
    trace = output.trace_frame()
    first = output.sequences[0].generated_token_ids[0]
    [row] = trace[(trace.step == 1) & (trace.token_id == first)].itertuples()
    assert (row.state, row.rank > 1) == ("live", True)
    assert (trace.groupby("step").state.apply(lambda s: (s == "live").sum()) <= 5).all()
    assert set(trace.state) == {"live", "pruned", "finished", "returned"}
