import pytest
import torch
from kernel_cases import DTYPES, check, ints, paged, poisoned, randn

from nbllm_kernels.prefill_attention import prefill_attention, prefill_attention_ref

HEADS = [(1, 1, 64), (8, 1, 80), (4, 4, 96), (4, 2, 128), (2, 1, 256)]
# new tokens of each request, and its tokens in the cache with them
CASES = [([1], [1]), ([63, 0, 1, 100], [63, 5, 200, 164])]


def run(new, lengths, heads, dtype=torch.float32, **options):
    num_heads, kv_heads, dim = heads
    kv, pages = paged(lengths, heads=kv_heads, dim=dim, dtype=dtype)
    starts = ints([sum(new[:i]) for i in range(len(new) + 1)])
    q = randn(sum(new), num_heads, dim, dtype=dtype)
    args = (q, kv, 1, pages, starts, ints(lengths), dim**-0.5)
    got = prefill_attention(*args, out=poisoned(*q.shape, dtype=dtype), **options)
    check(got, prefill_attention_ref(*args, **options))


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(heads, case, dtype):
    run(*case, heads, dtype)


@pytest.mark.parametrize("options", [{"window": 1}, {"window": 70}, {"softcap": 5.0}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_window_and_softcap(options, dtype):
    run(*CASES[1], (4, 2, 64), dtype, **options)


def test_rows_through_a_map():
    kv, pages = paged([100, 7, 130])
    q, starts = randn(30, 4, 64), ints([0, 10, 30])
    args = (q, kv, 0, pages, starts, ints([130, 100]), 0.125)
    check(prefill_attention(*args, rows=ints([2, 0])), prefill_attention_ref(*args, ints([2, 0])))


@pytest.mark.gpu
@pytest.mark.parametrize("heads", [(32, 8, 128), (12, 12, 64), (8, 4, 256), (8, 4, 80)], ids=str)
@pytest.mark.parametrize("options", [{}, {"window": 300}], ids=str)
def test_prompts_of_real_sizes(heads, options):
    run([1000, 63, 1, 2000], [1000, 563, 3000, 2100], heads, torch.bfloat16, **options)


@pytest.mark.gpu
@pytest.mark.parametrize("heads", [(8, 2, 128), (12, 12, 64), (5, 1, 128)], ids=str)
@pytest.mark.parametrize(
    "case",
    [
        ([3000], [3000]),
        ([513, 700, 2049], [513, 1100, 3001]),  # some have tokens in the cache
        ([1500, 640, 900], [1500, 0, 964]),  # one is padding
        ([1, 0, 4000], [130, 7, 4100]),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_long_prompts(heads, case, dtype):
    """These go through prefill_hopper.py where there is such a GPU."""
    run(*case, heads, dtype)


@pytest.mark.gpu
def test_long_prompts_through_a_map():
    kv, pages = paged([1000, 7, 1300], dtype=torch.bfloat16)
    q, starts = randn(2100, 4, 64, dtype=torch.bfloat16), ints([0, 1200, 2100])
    args = (q, kv, 0, pages, starts, ints([1300, 1000]), 0.125)
    check(prefill_attention(*args, rows=ints([2, 0])), prefill_attention_ref(*args, ints([2, 0])))
