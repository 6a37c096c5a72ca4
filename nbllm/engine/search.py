"""What a request that is searched, not sampled, has beside its prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from nbllm.errors import OutOfMemoryError, ParamError
from nbllm.models.batch import PAGE_SIZE
from nbllm.sampling_params import BeamSearchParams

from .text import Tokenizer


class Constraint(Protocol):
    """What one live beam may still say. Beams that fork fork theirs.

    A token that is not allowed is never a candidate; the log-probabilities of the others stay those
    of the raw distribution.
    """

    def fork(self) -> Constraint:
        """An independent copy."""
        ...

    def accept(self, token: int) -> object:
        """The beam has taken this token."""
        ...

    def allowed(self) -> np.ndarray:
        """Which tokens may come next: bool, at least [V]. EOS is there where the text may end."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Search:
    """A beam search for the continuations of one prompt.

    The keys and values of its beams lie in pages of its own, taken for the whole search when the
    prompt is admitted: `beam_width` slots a step.
    """

    params: BeamSearchParams
    eos_ids: frozenset[int]  # empty with ignore_eos
    limit: int  # steps at most
    tokenizer: Tokenizer
    constraint: Constraint | None = None  # of a beam that has said nothing yet

    pages: list[int] = field(default_factory=list)
    parked: bool = False  # the prompt is cached: it waits for its wave, or is in it
    wave: Any = None  # the `Wave` that has it, and its place there
    index: int = 0

    @property
    def num_pages(self) -> int:
        """Pages that its beams need."""
        return -(-self.limit * self.params.beam_width // PAGE_SIZE)

    @property
    def key(self) -> str:
        """Searches with equal keys may step together."""
        return f"{self.params!r} {sorted(self.eos_ids)}"

    def release(self) -> None:
        """Drop the pages; a later admission starts over."""
        self.pages, self.parked = [], False


def check_search(params: BeamSearchParams, vocab: int) -> None:
    """Raise what is wrong with parameters that only a model can tell."""
    if params.beam_width > vocab:
        raise ParamError(
            f"beam_width must be at most the vocabulary's {vocab} ids, got {params.beam_width}"
        )
    for name in ("stop_token_ids", "allowed_token_ids"):
        for token in getattr(params, name) or ():
            if token >= vocab:
                raise ParamError(f"{name}: {token} is outside the vocabulary of {vocab} ids")


def check_room(num_prompt: int, search: Search, num_pages: int, page_bytes: int) -> None:
    """A search takes its pages at once, so they have to fit the empty cache of `num_pages`."""
    need, mib = -(-num_prompt // PAGE_SIZE) + search.num_pages, page_bytes / 2**20
    if need > num_pages:
        raise OutOfMemoryError(
            f"beam_width={search.params.beam_width} for {search.limit} tokens after a prompt of "
            f"{num_prompt} needs {need * mib:.1f} MiB of KV cache, which has {num_pages * mib:.1f}; "
            f"LLM(kv_cache_memory_bytes={need * page_bytes}) makes room"
        )
