"""What is drawn: the right distribution, and the same tokens for the same seed in any company."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbllm import SamplingParams
from nbllm.engine.rows import Rows
from nbllm.engine.sampler import CANDIDATES, choose
from nbllm_kernels.gumbel import gumbel

# chi-square quantile at 1 - 1e-6, Wilson and Hilferty 1931
LIMIT = {d: d * (1 - 2 / (9 * d) + 4.753 * (2 / (9 * d)) ** 0.5) ** 3 for d in range(1, 1001)}


def rows_of(count: int, seeds=None, **settings) -> Rows:
    rows = Rows(count, 1)
    rows.seed[:] = np.arange(count) if seeds is None else seeds
    rows.length[:] = 7
    rows.temperature[:] = 1.0
    for name, value in settings.items():
        getattr(rows, name)[:] = value
    return rows


def kept(logits: torch.Tensor, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0) -> torch.Tensor:
    """The distribution that the settings mean, computed plainly."""
    p = (logits.double() / temperature).softmax(-1)
    p = torch.where(p >= min_p * p.max(), p, 0)
    order = p.argsort(descending=True, stable=True)
    if top_k > 0:
        p[order[top_k:]] = 0
    p /= p.sum()
    before = p[order].cumsum(-1) - p[order]
    p[order[before >= top_p]] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.2},
        {"temperature": 1.3, "top_k": 30, "top_p": 0.9, "min_p": 0.02},
    ],
    ids=str,
)
@pytest.mark.parametrize("vocab", [50, 1000])
def test_distribution(settings, vocab):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(vocab, generator=generator) * 1.5
    count = 20_000
    rows = rows_of(count, **settings)
    drawn = choose(logits.expand(count, -1), rows, np.arange(count))
    p = kept(logits, **settings)
    seen = torch.bincount(drawn, minlength=vocab).double()
    assert (seen[p == 0] == 0).all()
    # pool the rare tokens, as the chi-square test wants
    common = p * count >= 10
    expected, observed = p[common] * count, seen[common]
    if rest := float((p[~common] * count).sum()):
        expected = torch.cat([expected, torch.tensor([rest])])
        observed = torch.cat([observed, seen[~common].sum()[None]])
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert statistic < LIMIT[max(1, len(expected) - 1)]


def test_the_completions_of_one_prompt_are_independent_draws(llm, llama):
    count = 2000
    params = SamplingParams(n=count, seed=1, max_tokens=1, temperature=1.5, top_k=20)
    outputs = llm.generate([[104, 101, 108]], params, use_tqdm=False)[0].outputs
    logits = llama[1](torch.tensor([[104, 101, 108]])).logits[0, -1].detach()
    p = kept(logits, temperature=1.5, top_k=20)
    seen = torch.bincount(torch.tensor([o.token_ids[0] for o in outputs]), minlength=len(p))
    assert (seen[p == 0] == 0).all()
    common = p * count >= 10
    expected, observed = p[common] * count, seen[common].double()
    if rest := float((p[~common] * count).sum()):
        expected = torch.cat([expected, torch.tensor([rest])])
        observed = torch.cat([observed, seen[~common].sum()[None].double()])
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert statistic < LIMIT[max(1, len(expected) - 1)]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([3, 255, 256, 257, 700]),
    st.sampled_from([0, 1, 2, 100, 256, 300, 10**6]),
    st.sampled_from([1.0, 0.999999, 0.9, 0.3, 1e-6]),
    st.sampled_from([0.0, 1e-5, 0.1, 1.0]),
    st.sampled_from([0.05, 1.0, 2.0]),
)
def test_filters_keep_what_they_say(seed, vocab, top_k, top_p, min_p, temperature):
    """Also where the list of candidates does not suffice and the whole vocabulary is sorted."""
    logits = torch.randn(vocab, generator=torch.Generator().manual_seed(seed))
    p = kept(logits, temperature, top_k, top_p, min_p)
    rows = rows_of(64, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    drawn = choose(logits.expand(64, -1), rows, np.arange(64))
    # a token at the edge of top_p may fall on either side by rounding
    edge = (p > 0).sum()
    order = p.argsort(descending=True, stable=True)
    logits_order = logits.argsort(descending=True, stable=True)
    assert set(drawn.tolist()) <= set(order[:edge].tolist()) | {
        int(logits_order[min(edge, vocab - 1)])
    }


def test_the_whole_vocabulary_is_needed_for_a_flat_distribution():
    vocab = 4 * CANDIDATES
    logits = torch.zeros(vocab)
    drawn = choose(logits.expand(4000, -1), rows_of(4000, top_p=0.999), np.arange(4000))
    assert len(set(drawn.tolist())) > 2 * CANDIDATES


def test_temperature_zero_takes_the_likeliest():
    logits = torch.randn(5, 300)
    drawn = choose(logits, rows_of(5, temperature=0.0), np.arange(5))
    assert drawn.tolist() == logits.argmax(-1).tolist()


def test_noise_is_standard_gumbel_with_its_tail():
    noise = gumbel(torch.arange(2000), torch.zeros(2000, dtype=torch.int64), torch.arange(2000))
    assert abs(noise.mean().item() - 0.5772) < 0.01
    assert abs(noise.var().item() - np.pi**2 / 6) < 0.02
    # the largest of 4e6 draws is near log(4e6) = 15.2, and 24 bits would cap it at 16.6
    assert 13 < noise.max().item() < 24
    assert noise.isfinite().all()
    assert len(noise.flatten().unique()) > 0.9 * noise.numel() / 2


def test_noise_does_not_depend_on_the_company():
    seeds, positions = torch.tensor([3, -9, 2**62]), torch.tensor([0, 5, 100000])
    whole = gumbel(seeds, positions, torch.arange(50))
    for i in range(3):
        alone = gumbel(seeds[i : i + 1], positions[i : i + 1], torch.tensor([[41, 7]]))
        assert torch.equal(alone[0], whole[i, [41, 7]])


def test_a_seed_gives_the_same_tokens_in_any_batch(llm):
    seeded = SamplingParams(seed=11, temperature=1.2, top_p=0.95, max_tokens=20, ignore_eos=True)
    plain = SamplingParams(seed=5, max_tokens=20, ignore_eos=True)
    greedy = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
    alone = [
        llm.generate("hello", p, use_tqdm=False)[0].outputs[0].token_ids for p in (seeded, plain)
    ]
    many = llm.generate(
        ["x" * 70, "hello", "yy", "hello"], [greedy, seeded, greedy, plain], use_tqdm=False
    )
    assert [many[1].outputs[0].token_ids, many[3].outputs[0].token_ids] == alone


def test_child_i_samples_with_seed_plus_i(llm):
    params = SamplingParams(seed=40, n=3, max_tokens=12, ignore_eos=True)
    children = llm.generate("hello", params, use_tqdm=False)[0].outputs
    assert [c.index for c in children] == [0, 1, 2]
    for i, child in enumerate(children):
        alone = SamplingParams(seed=40 + i, max_tokens=12, ignore_eos=True)
        assert (
            llm.generate("hello", alone, use_tqdm=False)[0].outputs[0].token_ids == child.token_ids
        )
    assert len({tuple(c.token_ids) for c in children}) == 3


def test_without_a_seed_runs_differ_but_an_llm_repeats(llama):
    from nbllm import LLM

    params = SamplingParams(max_tokens=12, ignore_eos=True)
    runs = []
    for seed in (0, 0, 1):
        with LLM(llama[0], seed=seed) as fresh:
            runs.append(
                [fresh.generate("a", params, use_tqdm=False)[0].outputs[0].token_ids for _ in "ab"]
            )
    assert runs[0] == runs[1] != runs[2]
    assert runs[0][0] != runs[0][1]
