"""Checkpoints with quantised weights, which become ordinary ones when they are loaded.

A weight W [out, in] is stored as small integers or 8-bit floats q with scales s (and zero points z)
for groups of its elements: W = s (q - z). Several integers share a word of 32 bits, the first one in
its lowest bits. Shapes: N = out, K = in, G groups along K, w = integers in a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nbllm.errors import ModelError

from .checkpoint import Stored
from .stream import Read

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where AWQ puts the 8 integers of a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """A weight that several stored tensors make up."""

    shape: tuple[int, ...]  # of the weight
    parts: Mapping[str, Stored]  # by the names of dequantise's arguments
    dequantise: Callable[..., Tensor]

    def __call__(self, read: Read) -> Tensor:
        return self.dequantise(**{name: read(stored) for name, stored in self.parts.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How a checkpoint is quantised, as its config.json says."""

    label: str  # for people
    parts: Mapping[str, str]  # what a weight's tensors are called → dequantise's arguments
    optional: frozenset[str] = frozenset()  # those that need not be there
    shape: Callable[[Mapping[str, Stored]], tuple[int, ...]]
    dequantise: Callable[..., Tensor]


def scheme(config: Mapping[str, Any]) -> Scheme | None:
    """That of a config.json; None for plain weights. Raises `ModelError` for one nbllm lacks."""
    settings = config.get("quantization_config") or config.get("compression_config")
    if not settings:
        return None
    method = settings.get("quant_method")
    if method not in METHODS:
        raise ModelError(
            f"weights quantised by {method!r} are not supported; nbllm reads {', '.join(METHODS)}, "
            "and plain weights"
        )
    return METHODS[method](settings)


def entries(stored: Mapping[str, Stored], how: Scheme) -> dict[str, Stored | Quantised]:
    """What a checkpoint holds, with the tensors of each quantised weight as one of that name."""
    needed = how.parts.keys() - how.optional
    groups: dict[str, dict[str, Stored]] = {}
    for name, tensor in stored.items():
        module, _, part = name.rpartition(".")
        if part in how.parts:
            groups.setdefault(module, {})[part] = tensor
    found: dict[str, Stored | Quantised] = dict(stored)
    for module, parts in groups.items():
        if needed <= parts.keys():
            for part in parts:
                del found[f"{module}.{part}"]
            found[f"{module}.weight"] = Quantised(
                shape=how.shape(parts),
                parts={how.parts[p]: tensor for p, tensor in parts.items()},
                dequantise=how.dequantise,
            )
    # scales of activations and caches belong to arithmetic in 8 bits, which nbllm does not do
    return {n: t for n, t in found.items() if not re.search(r"\.(input|k|v|q|output)_scale$", n)}


def unpack(words: Tensor, bits: int) -> Tensor:
    """Unsigned integers of `bits` [..., n * 32 / bits] in words of 32 bits [..., n]."""
    shifts = torch.arange(0, 32, bits, device=words.device, dtype=torch.int32)
    return ((words[..., None] >> shifts) & ((1 << bits) - 1)).flatten(-2)


def gptq(
    qweight: Tensor,  # [K / w, N] int32
    scales: Tensor,  # [G, N]
    qzeros: Tensor,  # [G, N / w] int32
    g_idx: Tensor | None = None,  # [K] the group of each column
    *,
    bits: int,
    group: int,
    shift: int,
) -> Tensor:
    """GPTQ's weight [N, K] (Frantar et al. 2022); `shift`: what zero points are stored less of."""
    q = unpack(qweight.t(), bits)  # [N, K]
    zeros = unpack(qzeros, bits) + shift  # [G, N]
    if g_idx is None:
        g_idx = torch.arange(q.shape[1], device=q.device) // (group if group > 0 else q.shape[1])
    at = g_idx.long()
    return (q - zeros.t()[:, at]).float() * scales.t()[:, at].float()


def awq(
    qweight: Tensor,  # [K, N / 8] int32
    scales: Tensor,  # [G, N]
    qzeros: Tensor,  # [G, N / 8] int32
    *,
    group: int,
) -> Tensor:
    """AWQ's weight [N, K] (Lin et al. 2023)."""
    order = torch.tensor(AWQ_ORDER, device=qweight.device)

    def ordered(words: Tensor) -> Tensor:
        return unpack(words, 4).unflatten(-1, (-1, 8))[..., order].flatten(-2)

    q, zeros = ordered(qweight), ordered(qzeros)  # [K, N], [G, N]
    group = group if group > 0 else len(q)
    repeat = partial(torch.repeat_interleave, repeats=group, dim=0)
    return ((q - repeat(zeros)).float() * repeat(scales.float())).t()


def scaled(weight: Tensor, scale: Tensor, *, block: tuple[int, int] | None = None) -> Tensor:
    """A weight [N, K] of 8-bit floats or integers, times a scale: of all, rows, groups or blocks."""
    if block is not None:
        scale = scale.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
        scale = scale[: weight.shape[0], : weight.shape[1]]
    elif scale.ndim == 2 and scale.shape[1] > 1:
        scale = scale.repeat_interleave(weight.shape[1] // scale.shape[1], 1)
    elif scale.ndim == 1 and len(scale) > 1:
        scale = scale[:, None]
    return weight.float() * scale.float()


def packed(
    words: Tensor,  # [N, K / w] int32
    scale: Tensor,  # [N, G]
    shape: Tensor,  # [2]: N, K
    zeros: Tensor | None = None,  # [N / w, G] int32
    *,
    bits: int,
) -> Tensor:
    """compressed-tensors' "pack-quantized" weight [N, K]: q is stored with 2^(bits - 1) added."""
    rows, columns = shape.tolist()
    q = unpack(words, bits)[:, :columns]
    if zeros is None:
        return scaled(q - (1 << bits - 1), scale)
    zero = unpack(zeros.t(), bits).t()[:rows]  # [N, G]
    return scaled(q - zero.repeat_interleave(columns // zero.shape[1], 1), scale)


def _gptq(settings: Mapping[str, Any]) -> Scheme:
    bits = settings.get("bits", 4)
    if bits not in (4, 8):
        raise ModelError(f"GPTQ with {bits} bits is not supported; nbllm reads 4 and 8")
    # the first format stores zero points less one
    shift = 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
    each = 32 // bits
    return Scheme(
        label=f"GPTQ, {bits} bits",
        parts={"qweight": "qweight", "scales": "scales", "qzeros": "qzeros", "g_idx": "g_idx"},
        optional=frozenset({"g_idx"}),
        shape=lambda p: (p["qweight"].shape[1], p["qweight"].shape[0] * each),
        dequantise=partial(gptq, bits=bits, group=settings.get("group_size", -1), shift=shift),
    )


def _awq(settings: Mapping[str, Any]) -> Scheme:
    bits, version = settings.get("bits", 4), str(settings.get("version", "gemm")).lower()
    if bits != 4 or version != "gemm":
        raise ModelError(
            f"AWQ with {bits} bits in {version!r} order is not supported; only 4, gemm"
        )
    return Scheme(
        label="AWQ, 4 bits",
        parts={"qweight": "qweight", "scales": "scales", "qzeros": "qzeros"},
        shape=lambda p: (p["qweight"].shape[1] * 8, p["qweight"].shape[0]),
        dequantise=partial(awq, group=settings.get("group_size", -1)),
    )


def _fp8(settings: Mapping[str, Any]) -> Scheme:
    if block := settings.get("weight_block_size"):
        return Scheme(
            label=f"fp8 in blocks of {block[0]} × {block[1]}",
            parts={"weight": "weight", "weight_scale_inv": "scale"},
            shape=lambda p: p["weight"].shape,
            dequantise=partial(scaled, block=tuple(block)),
        )
    return _scaled("fp8")


def _scaled(label: str) -> Scheme:
    return Scheme(
        label=label,
        parts={"weight": "weight", "weight_scale": "scale"},
        shape=lambda p: p["weight"].shape,
        dequantise=scaled,
    )


def _compressed(settings: Mapping[str, Any]) -> Scheme:
    groups = list(settings.get("config_groups", {}).values())
    forms = {g.get("format") or settings.get("format") for g in groups}
    bits = {(g.get("weights") or {}).get("num_bits") for g in groups}
    if len(forms) != 1 or len(bits) != 1:
        raise ModelError("compressed-tensors with several formats in one model is not supported")
    [form], [count] = forms, bits
    if any((g.get("weights") or {}).get("actorder") == "group" for g in groups):
        raise ModelError("compressed-tensors with reordered groups is not supported")
    if form in ("int-quantized", "float-quantized", "naive-quantized") and count == 8:
        if any(not (g.get("weights") or {}).get("symmetric", True) for g in groups):
            raise ModelError(f"compressed-tensors {form} with zero points is not supported")
        return _scaled(f"compressed-tensors, {form}")
    if form == "pack-quantized" and count in (4, 8):
        names = {
            "weight_packed": "words",
            "weight_scale": "scale",
            "weight_shape": "shape",
            "weight_zero_point": "zeros",
        }
        each = 32 // count
        return Scheme(
            label=f"compressed-tensors, {count} bits",
            parts=names,
            optional=frozenset({"weight_zero_point"}),
            shape=lambda p: (p["weight_packed"].shape[0], p["weight_packed"].shape[1] * each),
            dequantise=partial(packed, bits=count),
        )
    raise ModelError(f"compressed-tensors of format {form!r} with {count} bits is not supported")


METHODS: dict[str, Callable[[Mapping[str, Any]], Scheme]] = {
    "gptq": _gptq,
    "awq": _awq,
    "fp8": _fp8,
    "compressed-tensors": _compressed,
}
