import pytest
import torch
from kernel_cases import DTYPES, PAGE, check, ints, paged, poisoned, randn

from nbllm_kernels.decode_attention import (
    FEW,
    decode_attention,
    decode_attention_ref,
    work_for_decode,
)
from nbllm_kernels.qkv_rope import qkv_rope
from nbllm_kernels.rope import rope_table
from nbllm_kernels.work_list import decode_work

HEADS = [(1, 1, 64), (8, 1, 80), (6, 6, 96), (14, 2, 64), (16, 8, 128), (4, 2, 256), (16, 1, 32)]
LENGTHS = [1, 63, 64, 65, 300]
MANY = [*LENGTHS, *[7] * FEW]


def both(q, kv, pages, lengths, layer=1, dtype=torch.float32, **options):
    scale, lens = q.shape[-1] ** -0.5, ints(lengths)
    work = options.pop("work", None)
    want = decode_attention_ref(q, kv, layer, pages, lens, scale, **options)
    out = poisoned(*q.shape, dtype=dtype)
    got = decode_attention(q, kv, layer, pages, lens, scale, work=work, out=out, **options)
    return got, want


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(heads, dtype):
    num_heads, kv_heads, dim = heads
    for lengths in (LENGTHS, MANY):
        kv, pages = paged(lengths, heads=kv_heads, dim=dim, dtype=dtype)
        q = randn(len(lengths), num_heads, dim, dtype=dtype)
        check(*both(q, kv, pages, lengths, dtype=dtype))


@pytest.mark.parametrize("options", [{"window": 1}, {"window": 70}, {"softcap": 5.0}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_window_and_softcap(options, dtype):
    for lengths in (LENGTHS, MANY):
        kv, pages = paged(lengths, dtype=dtype)
        q = randn(len(lengths), 4, 64, dtype=dtype)
        check(*both(q, kv, pages, lengths, dtype=dtype, **options))


@pytest.mark.parametrize("target", [1, 7, 1000])
def test_however_the_work_is_cut(target):
    lengths = [200, 1, 449, 0]
    kv, pages = paged(lengths)
    work = decode_work(ints(lengths), PAGE, 2, target)
    q = randn(4, 4, 64)
    again = decode_attention_ref(q, kv, 0, pages, ints(lengths), 0.125)
    got, want = both(q, kv, pages, lengths, work=work)
    check(got, want)
    assert not got[3].any()  # padding is zero, not garbage
    assert not work.arrivals.any()  # as the next layer wants them
    check(decode_attention(q, kv, 0, pages, ints(lengths), 0.125, work=work), again)


def test_rows_through_a_map():
    lengths = [100, 7, 300]
    kv, pages = paged(lengths)
    got, want = both(randn(2, 4, 64), kv, pages, [300, 100], rows=ints([2, 0]))
    check(got, want)


def test_one_work_list_for_rows_that_grew():
    """A work list is made of this step's lengths: nothing of an earlier step stays."""
    kv, pages = paged([700, 700])
    q = randn(2, 4, 64)
    lens = ints([1, 2])
    for lengths in ([1, 2], [700, 3], [64, 640]):
        lens.copy_(ints(lengths))
        work = work_for_decode(lens, kv)
        got = decode_attention(q, kv, 0, pages, lens, 0.125, work=work)
        check(got, decode_attention_ref(q, kv, 0, pages, ints(lengths), 0.125))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_rows_grow_under_a_captured_graph(dtype):
    lengths = [128, 100, 1, 0]
    kv, pages = paged([4096, 4096, 4096, 4096], heads=8, dim=128, dtype=dtype)
    q, lens = randn(4, 32, 128, dtype=dtype), ints(lengths)

    def step():
        work = work_for_decode(lens, kv)
        return decode_attention(q, kv, 1, pages, lens, 0.088, work=work)

    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()
    for lengths in ([128, 100, 1, 0], [4096, 129, 2, 0], [4096, 4000, 3333, 1], [5, 0, 0, 4096]):
        lens.copy_(ints(lengths))
        out.fill_(torch.nan)
        graph.replay()
        check(out, decode_attention_ref(q, kv, 1, pages, lens, 0.088))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_newest_token_comes_from_the_launch_before(dtype):
    """`early` reads the older ones before that has ended."""
    lengths = [130, 1, 64, 65, 1000]
    kv, pages = paged(lengths, heads=8, dim=128, dtype=dtype)
    lens = ints(lengths)
    slots = pages.long().gather(1, (lens - 1)[:, None] // PAGE)[:, 0] * PAGE + (lens - 1) % PAGE
    work = work_for_decode(lens, kv)
    table = rope_table(128, 1000, 1e4, "cuda")
    for _ in range(20):
        qkv = randn(5, 32 * 128, dtype=dtype)
        q = qkv_rope(qkv, lens - 1, slots, table, kv, 1, 16)
        got = decode_attention(q, kv, 1, pages, lens, 0.088, work=work, early=True)
        check(got, decode_attention_ref(q, kv, 1, pages, lens, 0.088))


@pytest.mark.gpu
def test_a_cache_beyond_two_to_the_31_elements():
    pages_needed = (2**31 // (2 * 2 * 8 * PAGE * 128)) + 10
    kv = torch.empty(pages_needed, 2, 2, 8, PAGE, 128, dtype=torch.bfloat16, device="cuda")
    pages = ints([[pages_needed - 1, pages_needed - 2]], torch.int32)
    kv[-2:] = randn(2, 2, 2, 8, PAGE, 128, dtype=torch.bfloat16)
    q = randn(1, 32, 128, dtype=torch.bfloat16)
    check(*both(q, kv, pages, [100], dtype=torch.bfloat16))


@pytest.mark.gpu
def test_the_mean_shape_of_the_workload():
    lengths = [(i * 97) % 1900 + 1 for i in range(131)]
    kv, pages = paged(lengths, heads=8, dim=128, dtype=torch.bfloat16)
    q = randn(131, 16, 128, dtype=torch.bfloat16)
    check(*both(q, kv, pages, lengths, dtype=torch.bfloat16))


def test_strided_queries_are_refused():
    kv, pages = paged([10])
    q = randn(1, 8, 64)[:, ::2]
    with pytest.raises(ValueError, match="q must be contiguous"):
        decode_attention(q, kv, 0, pages, ints([10]), 1.0)
