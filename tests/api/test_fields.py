"""Every sampling field against a plain computation on `transformers`' logits, alone and mixed."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import VOCAB
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel

from nbllm import LLM, SamplingParams, StructuredOutputsParams
from nbllm.engine.text import Tokenizer as Own
from nbllm.engine.text import TokenText
from nbllm.errors import ParamError
from nbllm_kernels.gumbel import gumbel

EOS = 257
# the tokenizer's ids are its byte alphabet in order
ID = {c: i for i, c in enumerate(sorted(ByteLevel.alphabet()))}
ID[" "] = ID["Ġ"]
PROMPT = [104, 101, 108, 108, 111, 101]


def adjusted(x: torch.Tensor, prompt: list[int], out: list[int], p: SamplingParams) -> torch.Tensor:
    """Logits [V] after everything but temperature and filters, token by token."""
    x = x.clone()
    for i in range(len(x)):
        if p.allowed_token_ids is not None and i not in p.allowed_token_ids:
            x[i] = -torch.inf
        x[i] += (p.logit_bias or {}).get(i, 0.0)
        if len(out) < p.min_tokens and (i in p.stop_ids or (i == EOS and not p.ignore_eos)):
            x[i] = -torch.inf
        if i in prompt or i in out:
            x[i] = x[i] / p.repetition_penalty if x[i] > 0 else x[i] * p.repetition_penalty
        x[i] -= p.frequency_penalty * out.count(i) + p.presence_penalty * (i in out)
    for word in p.bad_words or ():
        for *before, last in ([ID[c] for c in word], [ID[" "], *(ID[c] for c in word)]):
            if out[len(out) - len(before) :] == before:
                x[last] = -torch.inf
    for process in p.logits_processors or ():
        x = process(list(out), x)
    return x


def drawn(x: torch.Tensor, position: int, p: SamplingParams) -> int:
    """The token drawn from logits [V]."""
    if p.greedy:
        return int(x.argmax())
    x = x / p.temperature
    probability = x.softmax(-1)
    x[probability < p.min_p * probability.max()] = -torch.inf
    if p.top_k > 0:
        x[x.argsort(descending=True, stable=True)[p.top_k :]] = -torch.inf
    order = x.argsort(descending=True, stable=True)
    kept = x.softmax(-1)[order]
    x[order[kept.cumsum(-1) - kept >= p.top_p]] = -torch.inf
    noise = gumbel(torch.tensor([p.seed]), torch.tensor([position]), torch.arange(len(x)))[0]
    return int((x + noise).argmax())


@torch.inference_mode()
def plain(model, prompt: list[int], p: SamplingParams) -> tuple[list[int], list[float]]:
    """Tokens and raw log-probabilities, one full forward pass a token."""
    out, logprobs = [], []
    while len(out) < p.max_tokens:
        raw = model(torch.tensor([prompt + out])).logits[0, -1]
        token = drawn(adjusted(raw, prompt, out, p), len(prompt) + len(out), p)
        out.append(token)
        logprobs.append(float(raw.log_softmax(-1)[token]))
        if (token == EOS and not p.ignore_eos) or token in p.stop_ids:
            break
    return out, logprobs


def shift(token_ids: list[int], logits: torch.Tensor) -> torch.Tensor:
    """A processor that depends on what was generated."""
    return logits.roll(len(token_ids) % 3)


FIELDS = {
    "repetition": {"repetition_penalty": 1.7},
    "repetition below one": {"repetition_penalty": 0.5},
    "frequency": {"frequency_penalty": 1.5},
    "presence": {"presence_penalty": -2.0},
    "all penalties": {
        "repetition_penalty": 1.2,
        "frequency_penalty": -0.7,
        "presence_penalty": 0.9,
    },
    "logit_bias": {"logit_bias": {5: 40.0, 9: 39.0, 11: -100.0}},
    "allowed_token_ids": {"allowed_token_ids": [3, 50, 60, 61, 200]},
    "allowed and biased": {"allowed_token_ids": [3, 50, 60], "logit_bias": {3: 2.0, 99: 100.0}},
    "bad_words": {
        "allowed_token_ids": [ID[c] for c in " abc"],
        "bad_words": ["a", "bc", "ccb"],
    },
    "min_tokens": {"min_tokens": 9, "logit_bias": {EOS: 30.0, 7: 29.0}, "stop_token_ids": [7]},
    "eos": {"logit_bias": {EOS: 3.0}},
    "ignore_eos": {"logit_bias": {EOS: 3.0}, "ignore_eos": True},
    "processors": {"logits_processors": [shift, lambda ids, x: x - 1.0]},
    "top_k": {"top_k": 3},
    "top_p": {"top_p": 0.6},
    "min_p": {"min_p": 0.3},
    "temperature": {"temperature": 0.3},
}


@pytest.mark.parametrize("greedy", [True, False], ids=["greedy", "drawn"])
@pytest.mark.parametrize("field", FIELDS)
def test_field(llm, llama, field, greedy):
    p = SamplingParams(**{"seed": 3, "max_tokens": 16, **FIELDS[field]})
    if greedy:
        p.temperature = 0
    want, logprobs = plain(llama[1], PROMPT, p)
    found = llm.generate(PROMPT, p, use_tqdm=False)[0].outputs[0]
    assert found.token_ids == want
    assert found.cumulative_logprob == pytest.approx(sum(logprobs), abs=1e-3)


# llguidance is an extra, which a machine with a GPU may lack
PATTERNS = ["[a-e]{8,20}", "(yes|no)( (yes|no))*"] if find_spec("llguidance") else []


def pattern(regex: str) -> StructuredOutputsParams:
    return StructuredOutputsParams(regex=regex)


@st.composite
def random_params(draw) -> SamplingParams:
    """Any mix of fields; every other one is left alone."""

    def maybe(strategy, default=None):
        return draw(st.one_of(st.just(default), strategy))

    ids = st.integers(0, VOCAB - 1)
    allowed = maybe(st.lists(ids, min_size=20, max_size=60, unique=True))
    return SamplingParams(
        temperature=maybe(st.sampled_from([0.0, 0.4, 1.6]), 1.0),
        top_p=maybe(st.sampled_from([0.3, 0.9]), 1.0),
        top_k=maybe(st.sampled_from([1, 5, 40]), 0),
        min_p=maybe(st.sampled_from([0.01, 0.2]), 0.0),
        repetition_penalty=maybe(st.sampled_from([0.7, 1.3]), 1.0),
        frequency_penalty=maybe(st.sampled_from([-1.0, 0.8]), 0.0),
        presence_penalty=maybe(st.sampled_from([-0.5, 1.5]), 0.0),
        logit_bias=maybe(st.dictionaries(ids, st.sampled_from([-100, -3, 2, 9]), max_size=5)),
        allowed_token_ids=allowed,
        bad_words=maybe(st.lists(st.sampled_from(["a", "ab", "~", "q"]), max_size=3)),
        logits_processors=maybe(st.just([shift])),
        min_tokens=draw(st.integers(0, 6)),
        stop_token_ids=maybe(st.lists(ids, max_size=30)),
        ignore_eos=draw(st.booleans()),
        max_tokens=draw(st.integers(6, 12)),
        seed=draw(st.integers(0, 2**40)),
        logprobs=maybe(st.integers(0, 5)),
        prompt_logprobs=maybe(st.integers(0, 3)),
        structured_outputs=maybe(st.sampled_from(PATTERNS).map(pattern)) if PATTERNS else None,
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(random_params(), min_size=2, max_size=6),
    st.lists(st.integers(1, 90), min_size=6, max_size=6),
)
def test_any_mix_in_a_batch_is_each_alone(llama, llm, many, lengths):
    prompts = [(PROMPT * 16)[:n] for n in lengths[: len(many)]]
    with LLM(llama[0], max_num_seqs=4, max_num_batched_tokens=50) as small:
        together = small.generate(prompts, many, use_tqdm=False)
    for prompt, p, output in zip(prompts, many, together, strict=True):
        alone = llm.generate(prompt, p, use_tqdm=False)[0]
        assert alone.outputs[0].token_ids == output.outputs[0].token_ids
        if p.structured_outputs is None:
            assert alone.outputs[0].token_ids == plain(llama[1], prompt, p)[0]
        assert same(alone.outputs[0].logprobs, output.outputs[0].logprobs)
        assert same(alone.prompt_logprobs, output.prompt_logprobs)


def same(one, other) -> bool:
    """Equal positions, up to the rounding of another batch."""
    if one is None or other is None:
        return one is other
    for a, b in zip(one, other, strict=True):
        if (a is None) != (b is None) or (a is not None and a.keys() != b.keys()):
            return False
        if a and not np.allclose(
            [x.logprob for x in a.values()], [b[t].logprob for t in a], atol=1e-4
        ):
            return False
    return True


@pytest.mark.parametrize("count", [0, 3, -1])
@pytest.mark.parametrize("length", [1, 2, 64, 65, 150])
def test_prompt_logprobs(llama, count, length):
    prompt = (PROMPT * 30)[:length]
    p = SamplingParams(temperature=0, max_tokens=2, prompt_logprobs=count, ignore_eos=True)
    with LLM(llama[0], max_logprobs=-1, max_num_batched_tokens=40, max_num_seqs=2) as llm:
        llm.generate(prompt, SamplingParams(max_tokens=1), use_tqdm=False)  # fills the prefix cache
        [out] = llm.generate(prompt, p, use_tqdm=False)
        again = llm.generate([prompt, prompt], [p, p], use_tqdm=False)
    assert out.num_cached_tokens == 0
    found = out.prompt_logprobs
    assert found[0] is None
    assert len(found) == length
    want = llama[1](torch.tensor([prompt])).logits[0].log_softmax(-1)
    for i, position in enumerate(found[1:], 1):
        assert next(iter(position)) == prompt[i]
        top = want[i - 1].topk(count if count >= 0 else VOCAB).indices.tolist()
        assert set(position) == {prompt[i], *top}
        for token, logprob in position.items():
            assert logprob.logprob == pytest.approx(want[i - 1, token].item(), abs=1e-4)
        rank = int((want[i - 1] >= want[i - 1, prompt[i]]).sum())
        assert position[prompt[i]].rank == rank
    assert all(same(o.prompt_logprobs, found) for o in again)


def test_prompt_logprobs_survive_preemption(llama):
    prompts = [[i] * 60 for i in range(1, 7)]
    p = SamplingParams(temperature=0, max_tokens=40, prompt_logprobs=1, ignore_eos=True)
    with (
        LLM(llama[0]) as roomy,
        LLM(llama[0], kv_cache_memory_bytes=5 * 24576, max_model_len=128) as narrow,
    ):
        pairs = zip(
            roomy.generate(prompts, p, use_tqdm=False),
            narrow.generate(prompts, p, use_tqdm=False),
            strict=True,
        )
        assert all(same(a.prompt_logprobs, b.prompt_logprobs) for a, b in pairs)


def test_prompt_logprobs_with_several_completions(llm):
    p = SamplingParams(n=3, seed=1, max_tokens=4, prompt_logprobs=2)
    [out] = llm.generate([PROMPT], p, use_tqdm=False)
    assert len(out.prompt_logprobs) == len(PROMPT)
    assert len(out.outputs) == 3


def test_processed_logprobs(llama):
    p = SamplingParams(
        seed=1,
        temperature=0.7,
        top_k=3,
        max_tokens=4,
        logprobs=5,
        ignore_eos=True,
        repetition_penalty=1.5,
    )
    with LLM(llama[0], logprobs_mode="processed_logprobs") as llm:
        [out] = llm.generate([PROMPT], p, use_tqdm=False)
    ids = out.outputs[0].token_ids
    for i, position in enumerate(out.outputs[0].logprobs):
        raw = llama[1](torch.tensor([PROMPT + ids[:i]])).logits[0, -1].detach()
        x = adjusted(raw, PROMPT, ids[:i], p) / p.temperature
        x[x < x.topk(3).values[-1]] = -torch.inf
        want = x.log_softmax(-1)
        finite = {t: v.logprob for t, v in position.items() if v.logprob != -np.inf}
        assert len(finite) == 3
        for token, logprob in finite.items():
            assert logprob == pytest.approx(want[token].item(), abs=1e-4)


def test_truncation_keeps_the_end(llm):
    p = SamplingParams(temperature=0, max_tokens=3, truncate_prompt_tokens=4)
    [out] = llm.generate([PROMPT], p, use_tqdm=False)
    assert out.prompt_token_ids == PROMPT[-4:]


def test_nothing_left_to_choose_ends_that_request_alone(llm):
    impossible = SamplingParams(allowed_token_ids=[EOS], min_tokens=2, max_tokens=4)
    with pytest.raises(ParamError, match="every token is forbidden"):
        llm.generate(["a", "b"], [impossible, SamplingParams(max_tokens=4)], use_tqdm=False)
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (lambda ids, x: x[:5], r"must return logits of shape \[261\] without NaN, got \[5\]"),
        (lambda ids, x: None, "got NoneType"),
        (lambda ids, x: x * torch.nan, "without NaN"),
    ],
)
def test_a_processor_that_gives_no_logits(llm, process, message):
    with pytest.raises(ParamError, match=message):
        llm.generate("a", SamplingParams(logits_processors=[process]), use_tqdm=False)


def test_a_processor_that_fails_raises_its_own_error(llm):
    with pytest.raises(ZeroDivisionError):
        llm.generate("a", SamplingParams(logits_processors=[lambda i, x: 1 / 0]), use_tqdm=False)


@pytest.mark.parametrize(
    "changes",
    [{"allowed_token_ids": [999]}, {"logit_bias": {999: 1}}, {"stop_token_ids": [999]}],
    ids=str,
)
def test_ids_outside_the_vocabulary(llm, changes):
    with pytest.raises(ParamError, match=f"{next(iter(changes))}: 999 is outside the vocabulary"):
        llm.generate("a", SamplingParams(**changes))


def test_a_cpu_is_deterministic_anyway(llama):
    with LLM(llama[0], device="cpu", deterministic=True) as llm:
        assert llm.generate("a", SamplingParams(seed=1), use_tqdm=False)[0].outputs[0].token_ids


@pytest.mark.parametrize("spaces", [True, False])
def test_spaces_between_special_tokens(spaces):
    """Without a decoder tokens are joined by spaces: those between special tokens are optional."""
    backend = Tokenizer(WordLevel({"a": 0, "b": 1, "<s>": 2, "</s>": 3}, unk_token="a"))
    backend.add_special_tokens(["<s>", "</s>"])
    text = TokenText(
        Own(backend, {}), skip_special_tokens=False, spaces_between_special_tokens=spaces
    )
    ids = [2, 0, 1, 3, 2, 3, 0]
    want = "<s> a b </s> <s> </s> a" if spaces else "<s> a b </s><s></s> a"
    assert text.whole(ids) == want
    assert text.sofar(ids) == want
