"""Beams attend over their prompt and their ancestors, as if each had a copy of both."""

import pytest
import torch
from kernel_cases import DEVICE, DTYPES, PAGE, check, ints, paged, poisoned, randn

from nbllm_kernels import tree_attention as module
from nbllm_kernels.qkv_rope import Projection, qkv_rope_ref
from nbllm_kernels.skinny_linear import Norm, skinny_linear
from nbllm_kernels.tree_attention import (
    Tree,
    arrivals_for,
    begins_at_projection,
    tree_attention,
    tree_attention_of,
    tree_attention_ref,
)

HEADS = [(1, 1, 64), (8, 1, 80), (6, 6, 96), (14, 2, 64), (16, 8, 128), (4, 2, 256)]


def ancestors_of(groups: int, width: int, steps: int, forks: float = 0.3) -> torch.Tensor:
    """[G, W, S] of a random search: a beam stays with its own history, or takes up another's."""
    beam = torch.arange(width).expand(groups, width)
    table = beam[:, :, None].clone()
    for _ in range(steps - 1):
        other = torch.randint(0, width, (groups, width))
        parent = torch.where(torch.rand(groups, width) < forks, other, beam)
        history = table.gather(1, parent[:, :, None].expand_as(table))
        table = torch.cat((history, beam[:, :, None]), 2)
    return table


def grown(prompts, width, steps, heads=2, dim=64, dtype=torch.float32, layers=2, forks=0.3):
    """(kv, tree) after `steps` steps of a group for each of `prompts`; NaN where nothing is."""
    groups, count = len(prompts), steps * width
    kv, pages = paged([*prompts, *[count] * groups], layers, heads, dim, dtype)
    ancestors = ancestors_of(groups, width, steps, forks).to(DEVICE)
    lens = ints(prompts)
    return kv, Tree.of_ancestors(pages[:groups], lens, pages[groups:], ancestors, PAGE), ancestors


def both(q, kv, tree, layer=1, dtype=torch.float32, **options):
    scale = q.shape[-1] ** -0.5
    arrivals = options.pop("arrivals", None)
    want = tree_attention_ref(q, kv, layer, tree, scale, **options)
    out = poisoned(*q.shape, dtype=dtype)
    return tree_attention(q, kv, layer, tree, scale, arrivals=arrivals, out=out, **options), want


def test_the_reference_as_with_copies():
    prompts, width, steps = [0, 1, 64, 130], 3, 40
    kv, tree, ancestors = grown(prompts, width, steps)
    q = randn(len(prompts) * width, 4, 64)
    got = tree_attention_ref(q, kv, 1, tree, 0.2)
    for g, prompt in enumerate(prompts):
        assert tree.counts[g] < steps * width  # only what has descendants
        for w in range(width):
            at, said = torch.arange(prompt), torch.arange(steps) * width + ancestors[g, w].cpu()
            page = torch.cat((tree.pages[g].cpu()[at // PAGE], tree.own[g].cpu()[said // PAGE]))
            k, v = kv.cpu()[page.long(), 1, :, :, torch.cat((at, said)) % PAGE].unbind(1)
            k, v = (x.double().repeat_interleave(2, 1) for x in (k, v))  # [L, H, D]
            b = g * width + w
            p = torch.einsum("hd,lhd->hl", q[b].cpu().double() * 0.2, k).softmax(-1)
            check(got[b].cpu(), torch.einsum("hl,lhd->hd", p, v).float())


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(heads, dtype):
    num_heads, kv_heads, dim = heads
    kv, tree, _ = grown([1, 63, 130], 5, 20, kv_heads, dim, dtype)
    check(*both(randn(15, num_heads, dim, dtype=dtype), kv, tree, dtype=dtype))


@pytest.mark.parametrize(("width", "forks"), [(1, 0.5), (8, 0.0), (8, 0.5), (33, 0.5), (64, 0.5)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_widths(width, forks, dtype):
    """Without forks every token ever said is seen."""
    kv, tree, _ = grown([0, 70], width, 9, dtype=dtype, forks=forks)
    check(*both(randn(2 * width, 6, 64, dtype=dtype), kv, tree, dtype=dtype))


@pytest.mark.parametrize("options", [{"window": 1}, {"window": 30}, {"softcap": 5.0}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_window_and_softcap(options, dtype):
    kv, tree, _ = grown([1, 64, 100], 4, 25, dtype=dtype)
    check(*both(randn(12, 4, 64, dtype=dtype), kv, tree, dtype=dtype, **options))


@pytest.mark.parametrize("programs", [1, 3, 400])
def test_however_the_work_is_cut(monkeypatch, programs):
    monkeypatch.setattr(module, "PROGRAMS", programs)
    monkeypatch.setattr(module, "LEAST", 1)
    kv, tree, _ = grown([300, 1, 65, 0], 4, 60)
    tree.lens[1] = 0  # padding
    arrivals, q = arrivals_for(tree, kv, 4), randn(16, 4, 64)
    got, want = both(q, kv, tree, arrivals=arrivals)
    check(got, want)
    assert not got[4:8].any()  # zero, not garbage
    assert not arrivals.any()  # as the next layer wants them
    check(*both(q, kv, tree, layer=0, arrivals=arrivals))


@pytest.mark.parametrize(
    "heads", [(1, 1, 64), (6, 2, 80), (16, 8, 128), (4, 2, 256), (18, 2, 64)], ids=str
)
@pytest.mark.parametrize("rotated", [0, 0.5, 1])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(
    ("width", "options"), [(3, {}), (5, {"window": 20}), (9, {"softcap": 5.0})]
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_from_the_projection_on(heads, rotated, norm, width, options, dtype):
    """As the two launches, whose results are those of the references."""
    num_heads, kv_heads, dim = heads
    prompts, steps = [0, 70, 64], 30
    kv, tree, _ = grown(prompts, width, steps, kv_heads, dim, dtype)
    tree.lens[2] = 0
    size = round(rotated * dim) // 2 * 2
    cos_sin = randn(200, size) if size else None
    weights = [randn(dim, dtype=dtype) for _ in range(2)] if norm else [None, None]
    newest = (steps - 1) * width + ints(range(width))
    slots = tree.own[:, newest // PAGE].long() * PAGE + newest % PAGE
    slots[2] = 0  # padding, in the null page
    positions = (ints(prompts) + steps - 1).repeat_interleave(width)
    where = Projection(positions, slots.flatten(), cos_sin, *weights, 1e-6, 0.5 * norm)
    qkv = randn(len(positions), (num_heads + 2 * kv_heads) * dim, dtype=dtype)
    # they are not there yet
    kv[slots[:2].flatten() // PAGE, 1, :, :, slots[:2].flatten() % PAGE] = torch.nan
    want_kv = kv.clone()
    q = qkv_rope_ref(qkv, *where[:3], want_kv, 1, num_heads, *where[3:])
    want = tree_attention_ref(q, want_kv, 1, tree, dim**-0.5, **options)
    if not begins_at_projection(tree, num_heads, kv):
        with pytest.raises(ValueError, match=f"3 x {width} beams are too many"):
            tree_attention_of(qkv, where, kv, 1, tree, dim**-0.5, num_heads, **options)
        assert kv.element_size() * dim > 4 * 128  # there is no memory for so large keys
        return
    got = tree_attention_of(qkv, where, kv, 1, tree, dim**-0.5, num_heads, **options)
    check(got, want)
    real = slots[:2].flatten()
    pages, at = real // PAGE, real % PAGE
    check(kv[pages, 1, :, :, at], want_kv[pages, 1, :, :, at])
    kv[pages, 1, :, :, at] = want_kv[pages, 1, :, :, at] = 0
    want_kv[0] = kv[0]
    assert torch.equal(kv.view(torch.uint8), want_kv.view(torch.uint8))  # NaN too


@pytest.mark.parametrize(
    ("heads", "width", "groups", "begins"),
    [
        (16, 5, 1, True),
        (16, 8, 16, True),  # many tiles, of 16 queries
        (32, 5, 1, True),
        (32, 8, 16, False),  # of 32
        (16, 17, 1, False),  # newest tokens of too many beams
    ],
)
def test_which_begin_at_the_projection(heads, width, groups, begins):
    kv, tree, _ = grown([3] * groups, width, 1, 8, 128, torch.bfloat16, layers=1)
    assert begins_at_projection(tree, heads, kv) is begins


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_a_tree_grows_under_a_captured_graph(dtype):
    kv, tree, _ = grown([1000, 3, 129], 8, 120, 8, 128, dtype)
    whole, q = tree.counts.clone(), randn(24, 32, 128, dtype=dtype)
    filled = tree.lens - tree.counts

    def step():
        return tree_attention(q, kv, 1, tree, 0.088)

    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()
    for counts in (whole, torch.ones_like(whole), whole // 2, whole):
        tree.counts.copy_(counts)
        tree.lens.copy_(filled + counts)
        # every beam sees the first token
        tree.seen[:, 0] = -1
        out.fill_(torch.nan)
        graph.replay()
        check(out, tree_attention_ref(q, kv, 1, tree, 0.088))


@pytest.mark.gpu
@pytest.mark.parametrize("num_heads", [16, 32])
def test_from_the_projection_on_between_launches_that_overlap(num_heads):
    """Layers of products and attention, each begun while the one before ends, and one by one."""
    (width, kv_heads, dim, layers, size), dtype = (5, 8, 128, 12, 1024), torch.bfloat16
    kv, tree, _ = grown([128], width, 40, kv_heads, dim, dtype, layers=layers)
    newest = 39 * width + ints(range(width))
    slots = (tree.own[:, newest // PAGE].long() * PAGE + newest % PAGE).flatten()
    where = Projection(ints([128 + 39] * width), slots, randn(200, dim))
    weights = [
        randn(n, k, dtype=dtype) * k**-0.5
        for n, k in (((num_heads + 2 * kv_heads) * dim, size), (size, num_heads * dim))
    ]
    norm = Norm(randn(size, dtype=dtype), None, 1e-6, center=False)
    arrivals = arrivals_for(tree, kv, num_heads)

    def chain(x, between=lambda: None):
        for layer in range(layers):
            qkv = skinny_linear(x, weights[0], norm=norm)
            between()
            y = tree_attention_of(
                qkv, where, kv, layer, tree, dim**-0.5, num_heads, arrivals=arrivals
            )
            between()
            x = skinny_linear(y.flatten(1), weights[1], add=x)
            between()
        return x

    x = randn(width, size, dtype=dtype)
    chain(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = chain(x)
    for _ in range(5):
        x.copy_(randn(width, size, dtype=dtype))
        want = chain(x, torch.cuda.synchronize)
        assert want.isfinite().all()
        for _ in range(20):
            # what a layer's beams have just said must not be there yet
            kv[slots // PAGE, :, :, :, slots % PAGE] = torch.nan
            out.fill_(torch.nan)
            graph.replay()
            assert torch.equal(out, want)


@pytest.mark.gpu
def test_a_cache_beyond_two_to_the_31_elements():
    total = (2**31 // (2 * 2 * 8 * PAGE * 128)) + 10
    kv = torch.empty(total, 2, 2, 8, PAGE, 128, dtype=torch.bfloat16, device="cuda")
    kv[-4:] = randn(4, 2, 2, 8, PAGE, 128, dtype=torch.bfloat16)
    ancestors = ancestors_of(1, 5, 20).cuda()
    pages, own = ints([[total - 1, total - 2]]), ints([[total - 3, total - 4]])
    tree = Tree.of_ancestors(pages, ints([100]), own, ancestors, PAGE)
    check(*both(randn(5, 32, 128, dtype=torch.bfloat16), kv, tree, dtype=torch.bfloat16))


def test_what_is_refused():
    kv, tree, _ = grown([3], 4, 2)
    with pytest.raises(ValueError, match="q must be contiguous"):
        tree_attention(randn(4, 8, 64)[:, ::2], kv, 0, tree, 1.0)
    kv, tree, _ = grown([3], 65, 2)
    with pytest.raises(ValueError, match="65 beams"):
        tree_attention(randn(65, 4, 64), kv, 0, tree, 1.0)
