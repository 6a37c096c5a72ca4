import pytest
import torch
from kernel_cases import DEVICE, DTYPES, check, ints, randn

from nbllm_kernels.experts import experts, experts_ref, tiles_of
from nbllm_kernels.route import route, route_ref

# tokens, experts, k, hidden size, size of an expert
SHAPES = [
    (1, 8, 2, 48, 33),
    (1, 128, 8, 96, 64),
    (2, 8, 2, 64, 48),
    (3, 4, 4, 33, 100),
    (17, 5, 2, 64, 31),
    (64, 128, 8, 40, 24),
    (100, 6, 1, 130, 63),
    (256, 8, 2, 64, 32),
]


def case(tokens, count, k, size, inner, dtype):
    x = randn(tokens, size, dtype=dtype)
    gate_up = randn(count, 2 * inner, size, dtype=dtype) / size**0.5
    down = randn(count, size, inner, dtype=dtype) / inner**0.5
    ids, weights = route(randn(tokens, count), k, True)
    return x, ids, weights, gate_up, down


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(shape, dtype):
    x, ids, weights, gate_up, down = case(*shape, dtype)
    got = experts(x, ids, weights, gate_up, down)
    want = experts_ref(x.float(), ids, weights, gate_up.float(), down.float()).to(dtype)
    check(got, want)


@pytest.mark.parametrize("tokens", [1, 17])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_adds(tokens, dtype):
    each = case(tokens, 8, 3, 300, 48, dtype)
    add = randn(tokens, 300, dtype=dtype)
    x, ids, weights, *matrices = each
    want = experts_ref(x.float(), ids, weights, *(m.float() for m in matrices)) + add.float()
    check(experts(*each, add), want.to(dtype))


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1, 2, 8, 9, 31, 128, 256, 1000])
def test_real_sizes(tokens):
    x, ids, weights, gate_up, down = case(tokens, 128, 8, 2048, 768, torch.bfloat16)
    got = experts(x, ids, weights, gate_up, down)
    want = experts_ref(x.float(), ids, weights, gate_up.float(), down.float())
    assert (got.float() - want).norm() < 1e-2 * want.norm()


def test_everybody_to_one_expert():
    x, _, weights, gate_up, down = case(70, 8, 1, 32, 16, torch.float32)
    ids = ints([[5]] * 70, torch.int32)
    check(experts(x, ids, weights, gate_up, down), experts_ref(x, ids, weights, gate_up, down))


def test_tiles_cover_every_pair_once():
    ids, _ = route(randn(50, 7), 3, True)
    tiles = tiles_of(ids, 7)
    seen = []
    for expert, first, stop, _ in tiles.items.tolist():
        if expert >= 0:
            begin = tiles.starts[expert].item()
            pairs = tiles.order[begin + first : begin + stop]
            assert (ids.view(-1)[pairs] == expert).all()
            seen += pairs.tolist()
    assert sorted(seen) == list(range(150))


@pytest.mark.gpu
def test_in_a_captured_graph():
    x, ids, weights, gate_up, down = case(20, 16, 4, 64, 64, torch.float32)
    experts(x, ids, weights, gate_up, down)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = experts(x, ids, weights, gate_up, down)
    for _ in range(3):
        ids.copy_(route(randn(20, 16), 4, True)[0])
        graph.replay()
        check(out, experts_ref(x, ids, weights, gate_up, down))


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("shape", [(1, 8, 2), (63, 128, 8), (5, 3, 3), (100, 60, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_route(shape, normalised, dtype):
    tokens, count, k = shape
    logits = randn(tokens, count, dtype=dtype)
    ids, weights = route(logits, k, normalised)
    want_ids, want = route_ref(logits, k, normalised)
    assert ids.tolist() == want_ids.tolist()
    check(weights, want)


def test_ties_go_to_the_lower_number():
    logits = torch.zeros(1, 6, device=DEVICE)
    assert route(logits, 3, True)[0].tolist() == [[0, 1, 2]]
    assert route_ref(logits, 3, True)[0].tolist() == [[0, 1, 2]]


def test_more_experts_than_there_are():
    with pytest.raises(ValueError, match=r"k must lie in \[1, 4\], the number of experts, got 5"):
        route(randn(2, 4), 5, True)
