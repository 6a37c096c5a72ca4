import pytest
import torch
from kernel_cases import DEVICE, DTYPES, PAGE, check, poisoned, randn

from nbllm_kernels.qkv_rope import qkv_rope, qkv_rope_ref
from nbllm_kernels.rope import rope_ref, rope_table, rotation

KINDS = ["rope", "norm and rope", "neither"]


def case(tokens, heads, kv_heads, dim, kind, dtype):
    """Arguments up to the cache, and those after it."""
    slots = torch.randperm(tokens + 2 * PAGE)[:tokens].to(DEVICE) + PAGE
    positions = torch.randint(0, 3000, (tokens,), device=DEVICE)
    qkv = randn(tokens, (heads + 2 * kv_heads) * dim, dtype=dtype)
    table = None if kind == "neither" else rope_table(dim, 3000, 1e4, DEVICE)
    weights = [randn(dim, dtype=dtype) if "norm" in kind else None for _ in range(2)]
    kv = randn(4 + tokens // PAGE, 3, 2, kv_heads, PAGE, dim, dtype=dtype)
    return (qkv, positions, slots, table), kv, weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [(1, 1, 64), (14, 2, 80), (4, 4, 96), (32, 8, 128), (3, 1, 256)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(heads, kind, dtype):
    for tokens in (1, 63 if DEVICE == "cuda" else 5):
        args, kv, weights = case(tokens, *heads, kind, dtype)
        want_kv = kv.clone()
        out = poisoned(tokens, heads[0], heads[2], dtype=dtype)
        got = qkv_rope(*args, kv, 1, heads[0], *weights, 1e-6, out=out)
        want = qkv_rope_ref(*args, want_kv, 1, heads[0], *weights, 1e-6)
        check(got, want)
        check(kv, want_kv)  # other layers, pages and slots are as they were


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_many_tokens(kind):
    args, kv, weights = case(1000, 32, 8, 128, kind, torch.bfloat16)
    want_kv = kv.clone()
    got = qkv_rope(*args, kv, 2, 32, *weights, 1e-6)
    check(got, qkv_rope_ref(*args, want_kv, 2, 32, *weights, 1e-6))
    check(kv, want_kv)


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(("dim", "rotated"), [(64, 16), (128, 96), (80, 2), (34, 32)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_part_of_a_head_is_rotated(dim, rotated, kind, dtype):
    (qkv, positions, slots, _), kv, weights = case(5, 6, 2, dim, kind, dtype)
    args, want_kv = (qkv, positions, slots, rope_table(rotated, 3000, 1e4, DEVICE)), kv.clone()
    got = qkv_rope(*args, kv, 1, 6, *weights, 1e-6, out=poisoned(5, 6, dim, dtype=dtype))
    check(got, qkv_rope_ref(*args, want_kv, 1, 6, *weights, 1e-6))
    check(kv, want_kv)


def test_weights_that_are_distances_from_one():
    args, kv, weights = case(5, 6, 2, 64, "norm and rope", torch.float32)
    want_kv = kv.clone()
    got = qkv_rope(*args, kv, 1, 6, *weights, 1e-6, 1.0)
    check(got, qkv_rope_ref(*args, want_kv, 1, 6, *(w + 1 for w in weights), 1e-6))
    check(kv, want_kv)


def test_rotation_is_that_of_rope():
    (qkv, positions, slots, table), kv, _ = case(5, 2, 1, 64, "rope", torch.float32)
    got = qkv_rope(qkv, positions, slots, table, kv, 0, 2)
    check(got, rope_ref(qkv.view(5, 4, 64)[:, :2], rotation(table[positions])))


def test_wrong_width_is_refused():
    (qkv, *rest), kv, _ = case(5, 2, 1, 64, "rope", torch.float32)
    with pytest.raises(ValueError, match="qkv has 255 columns"):
        qkv_rope(qkv[:, 1:].contiguous(), *rest, kv, 0, 2)


def test_strided_cache_is_refused():
    (qkv, *rest), kv, _ = case(5, 2, 1, 64, "rope", torch.float32)
    with pytest.raises(ValueError, match="contiguous heads"):
        qkv_rope(qkv, *rest, kv.transpose(3, 4), 0, 2)


def test_int32_positions_and_slots():
    (qkv, positions, slots, table), kv, _ = case(5, 2, 1, 64, "rope", torch.float32)
    want_kv = kv.clone()
    got = qkv_rope(qkv, positions.int(), slots.int(), table, kv, 0, 2)
    check(got, qkv_rope_ref(qkv, positions, slots, table, want_kv, 0, 2))
    check(kv, want_kv)
