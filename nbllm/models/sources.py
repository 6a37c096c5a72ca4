"""Which tensors of a checkpoint each parameter of a model is made of.

A parameter's memory is its sources' memory, one after the other: q, k and v of a fused projection,
the experts of a stacked one. `FUSED` says it for the usual case, and `TRANSPOSED` which linear
layers are stored as [in, out]; a model whose checkpoints differ more has a method `stored_as(name)`, which gives the sources of the parameter `name`:

    def stored_as(self, name):
        if name.endswith("experts.gate_up"):
            where = name.removesuffix("gate_up")
            return [f"{where}{e}.{part}.weight" for e in range(64) for part in ("w1", "w3")]
        if name.endswith("query_key_value.weight"):  # stored head by head
            return [Source(name, self.regrouped)]
        return fused_sources(self, name)

`UNUSED`, a regular expression, is found in the names of tensors that no parameter needs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

COMPUTED = r"\.rotary_emb\.inv_freq$|\.attn\.(masked_)?bias$"
"""What older checkpoints store although it is computed: rotary frequencies, causal masks."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stored tensor, and what makes it a piece of the parameter (transposing it, say)."""

    name: str
    change: Callable[[Tensor], Tensor] | None = None


def fused_sources(model: nn.Module, name: str) -> list[Source]:
    """The sources of `name` as `model.FUSED` and `model.TRANSPOSED` have them: by default itself."""
    fused, transposed = getattr(model, "FUSED", {}), getattr(model, "TRANSPOSED", ())
    part = next((f for f in fused if f".{f}." in name), None)
    turned = name.endswith(".weight") and any(f".{t}." in name for t in transposed)
    names = [name.replace(part, p) for p in fused[part]] if part else [name]
    return [Source(n, torch.t if turned else None) for n in names]


def sources(model: nn.Module, stored: Collection[str]) -> dict[str, list[Source]]:
    """Every parameter by name, with its sources in order, under the names that `stored` has.

    Tied parameters come once, by their first name.
    """
    stored_as: Callable[[str], Sequence[str | Source]] = getattr(
        model, "stored_as", lambda name: fused_sources(model, name)
    )
    found: dict[str, list[Source]] = {}
    for name, *others in names_of(model):
        wanted = [s if isinstance(s, Source) else Source(s) for s in stored_as(name)]
        if len(wanted) == 1 and stored_name(wanted[0].name, stored) not in stored:
            # a tied parameter may be stored under its other name
            wanted = [replace(wanted[0], name=n) for n in others if n in stored] or wanted
        found[name] = [replace(s, name=stored_name(s.name, stored)) for s in wanted]
    return found


def names_of(model: nn.Module) -> list[list[str]]:
    """The names of each parameter: more than one where it is tied."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return list(names.values())


def stored_name(name: str, stored: Collection[str]) -> str:
    """`name` as a checkpoint has it: one that was saved without its head lacks the first word."""
    short = name.partition(".")[2]
    return short if name not in stored and short in stored else name


def needless(model: nn.Module, stored: Collection[str]) -> set[str]:
    """Those of the stored names that may be there although no parameter reads them."""
    own = getattr(model, "UNUSED", None)
    pattern = re.compile(f"{COMPUTED}|{own}" if own else COMPUTED)
    tied = {stored_name(n, stored) for _, *others in names_of(model) for n in others}
    return {n for n in stored if pattern.search(n)} | tied
