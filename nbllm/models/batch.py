"""The contract between the engine and the models: the tensors of one step."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, TypeVar

from torch import Tensor

from nbllm_kernels._triton import use_triton
from nbllm_kernels.tree_attention import Tree

T = TypeVar("T")

PAGE_SIZE = 64
"""Tokens in a page of the KV cache."""


@dataclass(slots=True, kw_only=True)
class Chunk:
    """Several new tokens each of C requests: prompts, parts of prompts, or recomputations."""

    tokens: Tensor  # [C, L] which of the batch's T tokens; a shorter request repeats its last
    pages: Tensor  # [C, M] page tables, padded with the null page 0
    max_kv_len: int  # tokens that the longest of them has in the cache once these are written


@dataclass(slots=True, kw_only=True)
class Beams:
    """The W beams of each of G prompts, after S steps; the newest is the one to compute."""

    pages: Tensor  # [G, M] page tables of the prompts
    prompt_lens: Tensor  # [G] their tokens in the cache
    max_prompt_len: int  # at least the longest of them
    slots: Tensor  # [G, S, W] where the K and V of each step's beams lie
    ancestors: Tensor  # [G, W, S] the beam of each step that a beam descends from; itself last


@dataclass(slots=True, kw_only=True)
class Packed:
    """Page tables as a GPU's kernels read them: of rows by number, of C chunks one after the other.

    Nothing of it is known to the host, so a batch without chunks can be captured.
    """

    rows: Tensor | None = None  # [B] which of `Batch.pages` each decoding request has
    q_starts: Tensor | None = None  # [C + 1] where each chunk begins, among the tokens after B
    pages: Tensor | None = None  # [C, M] page tables, padded with the null page 0
    kv_lens: Tensor | None = None  # [C] tokens in the cache once these are written
    chunk_rows: Tensor | None = None  # [C] which of `pages` each chunk has; None: its own number
    uniform: bool = False  # a token's attention must not depend on which tokens are beside it
    ends: bool = False  # there are only chunks, and `Batch.last` is the last token of each


@dataclass(slots=True, kw_only=True)
class Batch:
    """T new tokens: first one each of B decoding requests, then those of the chunks."""

    ids: Tensor  # [T] token ids
    positions: Tensor  # [T] position of each token in its request
    slots: Tensor  # [T] where each token's K and V go: page * PAGE_SIZE + offset
    kv: Tensor  # [P, layers, 2, K, PAGE_SIZE, D] the cache
    pages: Tensor  # [B, M] page tables of the decoding requests, padded with the null page 0
    kv_lens: Tensor  # [B] their tokens in the cache once this step's are written
    max_kv_len: int  # at least the longest of them; their pages hold as many
    chunks: list[Chunk]
    last: Tensor | None  # [R] which tokens need logits; None: all of them
    beams: Beams | None = None  # set: the T = G * W tokens are beams', and nothing else is there
    packed: Packed | None = None  # set: instead of `chunks`, and there is no `max_kv_len`
    tree: Tree | None = None  # set: the same as `beams`, as a GPU's kernels read it
    wanted: Tensor | None = None  # set, for the last layer: the tokens that it is to give, `last`
    shared: dict[Hashable, Any] = field(default_factory=dict)
    fused: bool = field(init=False)  # one launch goes from a projection to queries and the cache

    def __post_init__(self):
        self.fused = self.packed is not None or use_triton(self.kv)

    def of_layers(self, count: int) -> list["Batch"]:
        """What each of `count` layers takes; the last one's output matters only where there are logits."""
        assert self.last is None or (self.beams is None and self.tree is None)
        last = self if self.last is None else replace(self, wanted=self.last)
        return [*repeat(self, count - 1), last]

    def pick(self, x: Tensor) -> Tensor:
        """Of x [T, N] what this layer is to give; its attention gives no more either."""
        return x if self.wanted is None else x.index_select(0, self.wanted)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What every layer needs alike: made by the first one that asks."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]
