"""A GPU's sampler draws what it should, and every size of a captured step computes the same."""

import pytest
import torch
from random_prompts import prompts, tokens

from nbllm import LLM, SamplingParams
from nbllm.engine.graphs import SIZES
from nbllm_kernels.sample import sample

DRAWS = 40_000


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "min_p", "kept"),
    [
        (1.0, 0, 1.0, 0.0, 40),
        (0.7, 0, 1.0, 0.0, 40),
        (1.0, 11, 1.0, 0.0, 11),
        (1.3, 0, 0.8, 0.0, None),
        (1.0, 0, 1.0, 0.2, None),
        (0.9, 20, 0.9, 0.05, None),
    ],
)
def test_draws_are_distributed_as_they_should(temperature, top_k, top_p, min_p, kept):
    """Chi-square of many draws, each with a seed or a position of its own; 1 of 10,000 is unlucky."""
    generator = torch.Generator().manual_seed(3)
    logits = 1.5 * torch.randn(40, generator=generator)
    p = (logits.double() / temperature).softmax(-1)
    ids = p.argsort(descending=True, stable=True)
    p = p[ids]
    keep = p >= min_p * p[0]
    keep &= torch.arange(40) < (top_k or 40)
    p = p.where(keep, 0.0)
    p = p.where(p.cumsum(0) - p < top_p * p.sum(), 0.0)
    p /= p.sum()
    assert kept is None or int((p > 0).sum()) == kept

    def one(value, dtype):
        return torch.full((DRAWS,), value, dtype=dtype, device="cuda")

    of = (one(temperature, torch.float32), one(top_k, torch.int64), one(top_p, torch.float32))
    # seeds that follow one another, as those of the children of a request do
    seeds = torch.arange(DRAWS, device="cuda") // 200
    positions = torch.arange(DRAWS, device="cuda") % 200
    rows = torch.arange(DRAWS, device="cuda")
    many = logits.cuda().expand(DRAWS, -1).contiguous()
    found, _ = sample(many, rows, *of, one(min_p, torch.float32), seeds, positions)
    counts = found.bincount(minlength=40).cpu()[ids].double()
    some = p > 0
    assert counts[~some].sum() == 0
    chi2 = ((counts - DRAWS * p)[some] ** 2 / (DRAWS * p[some])).sum()
    freedom = torch.tensor((int(some.sum()) - 1) / 2, dtype=torch.float64)
    assert torch.special.gammaincc(freedom, chi2 / 2) > 1e-4


@pytest.mark.gpu
def test_every_size_of_a_step(llama):
    """In float32 the tokens of a CPU, with as many rows as a captured step has, and one fewer."""
    most = SIZES[-1]
    many = prompts(most, 20, seed=8)
    each = [
        SamplingParams(seed=i, temperature=0.0 if i % 3 else 0.8, max_tokens=5, ignore_eos=True)
        for i in range(most)
    ]
    with LLM(llama[0], device="cpu") as cpu:
        want = tokens(cpu.generate(many, each, use_tqdm=False))
    with LLM(llama[0], device="cuda", max_num_seqs=most) as llm:
        for size in SIZES:
            for count in {size, max(1, size - 1)}:
                found = llm.generate(many[:count], each[:count], use_tqdm=False)
                assert tokens(found) == want[:count], count
        sizes = {key[1] for key in llm.engine.runner.graphs._made if key[0] == "step"}
    assert sizes == set(SIZES)
