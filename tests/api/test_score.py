"""`score` and `choose` against `transformers`' logits; prefixes are computed once."""

import math

import pandas as pd
import pytest
import torch

from nbllm import LLM, SamplingParams, to_frame
from nbllm.errors import ParamError, PromptError

TEXT = "the cat sat on the mat"


def logprobs_of(model, ids: list[int]) -> list[float]:
    """The log-probability of every token but the first."""
    with torch.inference_mode():
        rows = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return rows.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def test_score_is_the_sum_of_the_continuation(llm, llama):
    prompts = ["the cat", "a", "x" * 130]
    rests = [" sat", "b" * 70, "y"]
    for i, out in enumerate(llm.score(prompts, rests, use_tqdm=False)):
        before = llm.tokenizer.encode(prompts[i])
        after = llm.tokenizer.encode(rests[i], add_special_tokens=False)
        want = logprobs_of(llama[1], before + after)[len(before) - 1 :]
        assert out.token_ids == after
        assert out.logprobs == pytest.approx(want, abs=1e-4)
        assert out.cumulative_logprob == pytest.approx(sum(want), abs=1e-3)
        assert out.mean_logprob == pytest.approx(sum(want) / len(want), abs=1e-4)
        assert out.perplexity == pytest.approx(math.exp(-sum(want) / len(want)), rel=1e-3)


def test_a_column_is_scored_by_itself(llm, llama):
    frame = pd.DataFrame({"text": [TEXT, "a cat"]}, index=[7, 3])
    frame["perplexity"] = [s.perplexity for s in llm.score(frame["text"], use_tqdm=False)]
    for text, perplexity in zip(frame["text"], frame["perplexity"], strict=True):
        want = logprobs_of(llama[1], llm.tokenizer.encode(text))
        assert perplexity == pytest.approx(math.exp(-sum(want) / len(want)), rel=1e-3)


def test_one_prompt_goes_with_many_continuations(llm):
    outs = llm.score("the ", ["cat", "dog"], use_tqdm=False)
    assert [(o.prompt, o.continuation) for o in outs] == [("the ", "cat"), ("the ", "dog")]
    frame = to_frame(outs)
    assert list(frame.columns) == [
        "prompt", "continuation", "num_tokens", "cumulative_logprob", "mean_logprob", "perplexity",
        "token_logprobs",
    ]  # fmt: skip
    assert frame["num_tokens"].tolist() == [3, 3]
    assert llm.score([], [], use_tqdm=False) == []


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("length", [5, 64, 100])
def test_choices(llm, llama, normalize, length):
    prompt, choices = "x" * length, ["a", "bcd", "ef", "a"]
    [out] = llm.choose(prompt, choices, normalize=normalize, use_tqdm=False)
    before = llm.tokenizer.encode(prompt)
    scores = []
    for choice in choices:
        ids = before + llm.tokenizer.encode(choice, add_special_tokens=False)
        own = logprobs_of(llama[1], ids)[len(before) - 1 :]
        scores.append(sum(own) / (len(own) if normalize else 1))
    want = torch.tensor(scores).softmax(0).tolist()
    assert out.probabilities == pytest.approx(want, abs=1e-4)
    assert sum(out.probabilities) == pytest.approx(1)
    assert out.best == choices[want.index(max(want))]
    frame = out.to_frame()
    assert frame["choice"].tolist() == choices
    assert frame["rank"].min() == 1


def test_choices_of_their_own(llm):
    outs = llm.choose(["a", "b"], [["x", "y"], ["z", "w", "v"]], use_tqdm=False)
    assert [len(o.probabilities) for o in outs] == [2, 3]
    assert len(to_frame(outs)) == 5


def tokens_computed(llm, call) -> int:
    """How many tokens the model is run on during `call`."""
    seen, inner = [], llm.engine.runner.run

    def run(plan):
        seen.extend(stop - start for _, start, stop in plan.chunks)
        return inner(plan)

    llm.engine.runner.run = run
    try:
        call()
    finally:
        del llm.engine.runner.run
    return sum(seen)


def test_shared_prefixes_are_computed_once(llama):
    with LLM(llama[0]) as llm:
        prompt = [9] * 130
        rests = [[i, i, i] for i in range(1, 9)]
        pairs = [{"prompt_token_ids": rest} for rest in rests]
        count = tokens_computed(llm, lambda: llm.score([prompt] * 8, pairs, use_tqdm=False))
        assert count == 133 + 7 * 5  # two whole pages are shared, what is behind them is not
        labels = ["a", "b", "c", "d"]
        first = tokens_computed(llm, lambda: llm.choose("x" * 40, labels, use_tqdm=False))
        assert first == 41  # BOS and the prompt, once for all choices of one token


def test_the_sentiment_of_a_review():
    with LLM("tiny") as llm:
        reviews = ["The soup was cold.", "The room was clean and lovely."]
        prompts = [f"Review: {r} Sentiment:" for r in reviews]
        outs = llm.choose(prompts, [" negative", " positive"], use_tqdm=False)
        assert [o.best for o in outs] == [" negative", " positive"]
        greedy = SamplingParams(temperature=0, max_tokens=1)
        texts = [o.outputs[0].text for o in llm.generate(prompts, greedy, use_tqdm=False)]
        assert [o.best.strip()[:3] for o in outs] == [t.strip()[:3] for t in texts]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda llm: llm.score("a", ""), PromptError, "continuation is empty"),
        (lambda llm: llm.score([[5]]), PromptError, "one token has nothing to score"),
        (lambda llm: llm.score("", "a"), PromptError, "prompt is empty"),
        (lambda llm: llm.score("a" * 250, "b" * 10), PromptError, "does not fit max_model_len=256"),
        (lambda llm: llm.score(["a", "b"], ["c"] * 3), ParamError, "3 continuations for 2 prompts"),
        (lambda llm: llm.choose("a", []), ParamError, "choices must be strings"),
        (lambda llm: llm.choose("a", ["b", ""]), ParamError, "choices must be strings"),
        (lambda llm: llm.choose(["a", "b"], [["c"]] * 3), ParamError, "3 lists of choices for 2"),
    ],
)
def test_bad_input(llm, call, error, message):
    with pytest.raises(error, match=message):
        call(llm)
    assert llm.engine.num_unfinished == 0


def test_kinds_follow_each_other_in_a_frame(llm):
    outs = [*llm.choose("a", ["b"], use_tqdm=False), *llm.score("a", "b", use_tqdm=False)]
    frame = to_frame(outs)
    assert frame["choice"].tolist()[:1] == ["b"]
    assert frame["continuation"].tolist()[1:] == ["b"]
    first, second = frame["cumulative_logprob"]
    assert first == pytest.approx(second, abs=1e-4)
