"""An operation of a CPU: wherever the tests run, its tensors are there."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kernel_cases import check

from nbllm_kernels.paged_attention import decode_attention, decode_mask, page_rows
from nbllm_kernels.row_attention import row_attention, row_layout

LENS, LONGEST, HEADS = torch.tensor([70, 1, 128, 64]), 128, 3
PAGES = torch.tensor([[1, 2], [3, 0], [5, 6], [1, 0]])  # the last shares the first one's prompt


def cache(layers: int = 2, dim: int = 8) -> torch.Tensor:
    return torch.randn(7, layers, 2, HEADS, 64, dim)


@pytest.mark.parametrize("group", [1, 2, 5])
@pytest.mark.parametrize("window", [0, 9])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_equals_attention_that_gathers_pages(group, window, softcap):
    kv = cache()
    mask, rows = decode_mask(kv, LONGEST, LENS, window), page_rows(kv, PAGES, LONGEST)
    layout = row_layout(kv, PAGES, HEADS * group, LONGEST)
    for layer in (1, 0, 1):  # what one layer leaves does not matter to the next
        q = torch.randn(4, HEADS * group, 8)
        want = decode_attention(q, kv, rows[layer], mask, 0.3, softcap)
        check(row_attention(q, layer, layout, mask, 0.3, softcap), want)


def test_it_reads_the_cache_itself():
    kv, q = cache(), torch.randn(4, HEADS, 8)
    layout = row_layout(kv, PAGES, HEADS, LONGEST)
    mask = decode_mask(kv, LONGEST, LENS)
    first = row_attention(q, 0, layout, mask, 0.3)
    kv[1, 0, 1] += 1  # values of the first page
    moved = row_attention(q, 0, layout, mask, 0.3) - first
    assert (moved[[0, 3]] > 0.1).all()
    assert not moved[[1, 2]].any()
    last = kv[6, 1, 1, HEADS - 1, 63]  # the very last row of the last layer's table
    assert layout.tables[1][1][-1].data_ptr() == last.data_ptr()


def test_rows_that_32_bits_cannot_count():
    for num_pages, dtype in (((1 << 24) - 1, torch.int32), (1 << 24, torch.int64)):
        kv = torch.empty(num_pages, 1, 2, 1, 64, 1, device="meta")
        layout = row_layout(kv, torch.empty(1, 1, dtype=torch.int64, device="meta"), 1, 3)
        assert layout.rows.dtype == layout.starts.dtype == dtype


def test_what_a_process_takes_for_granted_does_not_matter():
    """`transformers` sets the default dtype of the whole process while it builds a model."""
    kv, q = cache(), torch.randn(4, HEADS, 8)
    mask = decode_mask(kv, LONGEST, LENS)
    want = row_attention(q, 0, row_layout(kv, PAGES, HEADS, LONGEST), mask, 0.3)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            got = row_attention(q, 0, row_layout(kv, PAGES, HEADS, LONGEST), mask, 0.3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(got, want)


def test_a_beta_of_torch_says_nothing_to_users():
    code = """
import warnings
import torch
warnings.simplefilter("error")
from nbllm_kernels.row_attention import row_layout
row_layout(torch.zeros(2, 1, 2, 1, 64, 4), torch.tensor([[1]]), 1, 3)
"""
    kernels = Path(__file__).parents[2] / "kernels"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=kernels)
