"""Beams attend over their prompt and their own ancestors, as if each had a copy of both."""

import pytest
import torch

from nbllm_kernels.beam_attention import beam_attention, beam_keys, live_slots

SIZE = 64


def ancestors_of(parents: torch.Tensor) -> torch.Tensor:
    """[G, W, S] from the parents [G, S - 1, W] that the beams of each step chose."""
    groups, steps, width = parents.shape
    table = torch.arange(width).repeat(groups, 1)[:, :, None]
    for s in range(steps):
        history = table.gather(1, parents[:, s, :, None].expand_as(table))
        table = torch.cat((history, torch.arange(width).repeat(groups, 1)[:, :, None]), 2)
    return table


def naive(q, k, v, scale, softcap):
    """One query [H, D] over keys and values [L, K, D]."""
    heads = q.shape[0] // k.shape[1]
    k, v = (x.double().repeat_interleave(heads, 1) for x in (k, v))
    score = torch.einsum("hd,lhd->hl", q.double() * scale, k)
    if softcap:
        score = softcap * (score / softcap).tanh()
    return torch.einsum("hl,lhd->hd", score.softmax(-1), v)


@pytest.mark.parametrize(
    ("groups", "width", "steps", "heads", "kv_heads", "lens"),
    [
        (1, 1, 1, 2, 2, [0]),
        (1, 3, 1, 4, 2, [63]),
        (2, 5, 7, 4, 4, [100, 1]),
        (3, 8, 63, 6, 2, [0, 64, 65]),
        (2, 2, 100, 3, 1, [130, 7]),
    ],
)
@pytest.mark.parametrize(("window", "softcap"), [(0, 0.0), (1, 0.0), (70, 0.0), (9, 2.0)])
def test_as_with_copies(groups, width, steps, heads, kv_heads, lens, window, softcap):
    torch.manual_seed(steps)
    dim, layers, layer = 12, 3, 1
    per_prompt, per_beams = -(-max(lens) // SIZE), -(-steps * width // SIZE)
    num_pages = 1 + groups * (per_prompt + per_beams)
    kv = torch.full((num_pages, layers, 2, kv_heads, SIZE, dim), 1e9)
    kv[:, layer] = torch.randn(num_pages, 2, kv_heads, SIZE, dim)
    shuffled = torch.randperm(num_pages - 1) + 1
    pages = shuffled[: groups * per_prompt].view(groups, per_prompt)
    own = shuffled[groups * per_prompt :].view(groups, per_beams)
    at = torch.arange(steps * width)
    slots = (own[:, at // SIZE] * SIZE + at % SIZE).view(groups, steps, width)
    ancestors = ancestors_of(torch.randint(0, width, (groups, steps - 1, width)))
    q = torch.randn(groups * width, heads, dim)
    prompts = pages, torch.tensor(lens), max(lens)
    rows, mask = beam_keys(kv, *prompts, slots, ancestors, heads, window)
    out = beam_attention(q, kv, rows[layer], mask, 0.3, softcap)
    for g in range(groups):
        for w in range(width):
            mine = slots[g, torch.arange(steps), ancestors[g, w]]
            prompt = torch.arange(lens[g])
            mine = torch.cat((pages[g, prompt // SIZE] * SIZE + prompt % SIZE, mine))
            mine = mine[-window:]  # all of them where window is 0
            k, v = kv[mine // SIZE, layer, :, :, mine % SIZE].unbind(1)
            want = naive(q[g * width + w], k, v, 0.3, softcap)
            torch.testing.assert_close(out[g * width + w].double(), want, rtol=1e-5, atol=1e-5)


def test_only_slots_with_descendants_are_read():
    parents = torch.zeros(1, 9, 4, dtype=torch.int64)  # everybody descends from beam 0
    slots, seen = live_slots(ancestors_of(parents))
    assert sorted(slots[0].tolist()) == [*range(0, 36, 4), 36, 37, 38, 39]
    assert seen.sum(2).tolist() == [[10] * 4]
