from types import SimpleNamespace

import pytest
import torch
from kernel_cases import DEVICE, ints, poisoned, randn

from nbllm.engine.sampler import choose
from nbllm_kernels.gumbel import GAMMA, mix
from nbllm_kernels.sample import CANDIDATES, sample, sample_ref

# temperature, top_k, top_p, min_p
GREEDY = (0.0, 0, 1.0, 0.0)
PARAMETERS = [
    (1.0, 0, 1.0, 0.0),
    (0.6, 20, 0.95, 0.0),
    (1.0, 1, 1.0, 0.0),
    (1.3, 50, 1.0, 0.0),
    (1.0, 0, 0.9, 0.0),
    (0.1, 40, 1.0, 0.0),
    (1.0, 0, 1e-6, 0.0),
    (1.0, 0, 1.0, 0.1),
    (1.0, 30, 0.5, 0.02),
    (2.0, 0, 0.3, 1.0),
    (1.0, 10**6, 0.7, 0.0),
    GREEDY,
]
DRAWS = 8 if DEVICE == "cuda" else 1


def parameters(chosen, draws):
    """The arrays of len(chosen) * draws rows, with a seed and a position each."""
    t, k, p, m = zip(*[c for c in chosen for _ in range(draws)], strict=True)
    count = len(t)
    floats = {"dtype": torch.float32, "device": DEVICE}
    seeds = torch.randint(-(2**62), 2**62, (count,), device=DEVICE)
    return [
        torch.tensor(t, **floats),
        ints(k),
        torch.tensor(p, **floats),
        torch.tensor(m, **floats),
        seeds,
        torch.randint(0, 5000, (count,), device=DEVICE),
    ]


def same(logits, arrays, **options):
    rows = torch.arange(len(logits), device=DEVICE)
    out = poisoned(len(logits))
    got, logprobs = sample(logits, rows, *arrays, logprobs=out, **options)
    assert logprobs is out
    for name in ("filters", "ordered"):
        options.pop(name, None)
    want, want_logprobs = sample_ref(logits, rows, *arrays, **options)
    # some of them: thousands of tokens side by side would take pytest minutes to show
    assert (got != want).nonzero().flatten().tolist()[:9] == []
    torch.testing.assert_close(logprobs, want_logprobs, atol=1e-4, rtol=1e-5)
    return got


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("vocabulary", [1, 63, 1000, 9000])
def test_matches_reference(vocabulary, ordered):
    arrays = parameters(PARAMETERS, DRAWS)
    same(3 * randn(12 * DRAWS, vocabulary), arrays, ordered=ordered)


def test_ties():
    """Many equal logits at every cut: the lower ids are kept."""
    logits = randn(12 * DRAWS, 100).mul(2).round() / 2
    same(logits, parameters(PARAMETERS, DRAWS))
    same(torch.zeros_like(logits), parameters(PARAMETERS, DRAWS))


def test_too_many_candidates():
    """Cuts beyond what can be gathered at once, with many equal logits too."""
    assert 2 * CANDIDATES < 9000
    flat = [(1.0, 0, 0.99, 0.0), (1.0, 7000, 0.9, 0.0), (5.0, 5000, 1.0, 0.0), (1.0, 0, 1.0, 1e-4)]
    logits = 0.1 * randn(4 * DRAWS, 9000)
    same(logits, parameters(flat, DRAWS))
    same(3 * logits.round(decimals=1), parameters(flat, DRAWS))


def test_masked_tokens_are_not_drawn():
    logits = randn(12, 5000)
    logits[:, 3:] = -torch.inf
    logits[:, ::2] = -torch.inf
    raw = randn(12, 5000)
    assert same(logits, parameters(PARAMETERS, 1), raw=raw).tolist() == [1] * 12


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_no_number_is_never_taken(temperature):
    logits = randn(5, 9000)
    logits[0] = torch.nan
    logits[1, :4096] = torch.nan
    logits[2, 2053] = torch.nan
    logits[2, 5] = 50.0  # before it, in the same lane
    logits[3, ::2] = torch.nan
    rows, arrays = torch.arange(5, device=DEVICE), parameters([(temperature, 0, 1.0, 0.0)], 5)
    got, _ = sample(logits, rows, *arrays, filters=False)
    want, _ = sample_ref(logits.nan_to_num(nan=-torch.inf), rows, *arrays)
    assert got[1:].tolist() == want[1:].tolist()
    assert got[0] == 0


def test_an_endless_bound_allows_nothing():
    """The noise of token 2053 is large beyond what its bound tells."""
    arrays = parameters([(1.0, 0, 1.0, 0.0)], 2)
    arrays[4:] = ints([7081236542667885516] * 2), ints([3, 3])
    bits = mix(mix(mix(arrays[4]) + 4 * ints([GAMMA])) + 2054 * ints([GAMMA]))
    assert not (bits >> 33 & (1 << 30) - 1).any()
    logits = torch.full((2, 5000), -torch.inf, device=DEVICE)
    logits[:, 5] = 0.0
    logits[1, 2053] = -2.0
    assert same(logits, arrays, filters=False).tolist() == [5, 2053]


@pytest.mark.parametrize("temperature", [1e-5, 0.01, 1.0, 30.0])
@pytest.mark.parametrize("heavy", [1, 2, 40])
def test_a_few_tokens_share_everything(heavy, temperature):
    """The cheap bound of noise does not tell them apart."""
    logits = randn(16 * DRAWS, 5000) - 60
    logits[:, 700 : 700 + heavy] += 60
    logits[::4, 4990] += 1000
    logits[2, 5:] = -torch.inf
    same(logits, parameters([(temperature, 0, 1.0, 0.0)], len(logits)), filters=False)


def test_rows_through_a_map_and_no_filters():
    arrays = parameters([PARAMETERS[0], GREEDY], 2)
    logits, rows = randn(3, 1000), ints([3, 0, 1])
    got = sample(logits, rows, *arrays, filters=False)
    want = sample_ref(logits, rows, *arrays)
    assert got[0].tolist() == want[0].tolist()


@pytest.mark.gpu
def test_distribution():
    """Draws of one row follow the truncated softmax."""
    draws = 4000
    logits = randn(1, 50).mul(2).repeat(draws, 1)
    tokens = same(logits, parameters([(1.0, 8, 1.0, 0.0)], draws))
    top, ids = logits[0].topk(8)
    p = top.softmax(-1)
    counts = torch.stack([(tokens == i).sum() for i in ids])
    assert counts.sum() == draws
    deviation = (counts - draws * p) / (draws * p * (1 - p)).sqrt()
    assert deviation.abs().max() < 5


def test_engine_samples_the_same():
    """The sampler of the CPU path, on logits without ties."""
    arrays = parameters(PARAMETERS, DRAWS)
    logits = 3 * randn(12 * DRAWS, 3000)
    names = ("temperature", "top_k", "top_p", "min_p", "seed", "length")
    rows = SimpleNamespace(**{n: a.cpu().numpy() for n, a in zip(names, arrays, strict=True)})
    index = torch.arange(len(logits))
    got, _ = sample(logits, index.to(DEVICE), *arrays)
    assert got.tolist() == choose(logits.cpu(), rows, index.numpy()).tolist()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("vocabulary", [50272, 151936])
def test_real_vocabularies(vocabulary, dtype):
    logits = (2.5 * randn(12 * 8, vocabulary)).to(dtype)
    same(logits, parameters(PARAMETERS, 8))


@pytest.mark.gpu
def test_under_a_captured_graph():
    """Parameters are read when the graph runs."""
    logits, rows = 3 * randn(8, 50272), torch.arange(8, device=DEVICE)
    arrays = parameters(PARAMETERS[:8], 1)
    sample(logits, rows, *arrays)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tokens, _ = sample(logits, rows, *arrays)
    for chosen in (PARAMETERS[:8], PARAMETERS[4:]):
        for array, new in zip(arrays, parameters(chosen, 1), strict=True):
            array.copy_(new)
        logits.copy_(3 * randn(8, 50272))
        graph.replay()
        assert tokens.tolist() == sample_ref(logits, rows, *arrays)[0].tolist()
