"""An operation of a CPU: wherever the tests run, its tensors are there."""

import torch
from kernel_cases import check

from nbllm_kernels.paged_attention import (
    decode_attention,
    decode_mask,
    page_rows,
    slot_rows,
    write_kv,
)
from nbllm_kernels.row_attention import row_attention, side_bags, side_mask, side_rows, side_views


def test_equals_attention_over_pages():
    layers, heads, dim, lens = 2, 3, 8, torch.tensor([70, 1, 128])
    side = torch.zeros(layers, 2, 5, heads, 128, dim)
    kv = torch.zeros(7, layers, 2, heads, 64, dim)
    pages = torch.tensor([[1, 2], [3, 0], [5, 6]])
    for length in range(1, 129):  # a token a step, as decoding writes them
        new = lens >= length
        at = torch.full((3,), length - 1)
        slots = torch.where(new, pages[torch.arange(3), at // 64] * 64 + at % 64, 0)
        for layer in range(layers):
            k, v = torch.randn(3, heads, dim), torch.randn(3, heads, dim)
            new_kv = torch.cat((k, v), 1)
            write_kv(kv, new_kv, slot_rows(kv, slots)[layer])
            held = side.clone()
            write_kv(side, new_kv, side_rows(side, at)[layer])
            side[:, :, :3][:, :, ~new] = held[:, :, :3][:, :, ~new]
    for layer in range(layers):
        q = torch.randn(3, heads * 2, dim)
        mask, rows = decode_mask(kv, 128, lens), page_rows(kv, pages, 128)
        want = decode_attention(q, kv, rows[layer], mask, 0.3)
        views = side_views(side, 3, 128)[layer]
        bags = side_bags(side, 3, heads * 2, 128)
        check(row_attention(q, *views, side_mask(side, lens, 128), bags, 0.3), want)
