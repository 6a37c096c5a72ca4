"""What a request needs beside its logits, as bits: which of it a device does by itself.

Everything does that is a function of a request's tokens and parameters. A grammar is asked by the
host while the device computes logits, and the device does the rest. What only the host can do is
Python's, `logits_processors`, and what is too rare or too large to be worth a kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from nbllm_kernels.top_logprobs import MAX_K

from .request import Request

FILTERS, PENALTIES, BIAS, STOPS, BITS, PHRASES, GRAMMAR, HOST = (1 << i for i in range(8))

NO_TOP = -1
MOST_BIASED = 1024
"""Ids with a logit_bias that a device looks through."""
MOST_STOPS = 32
"""Stop ids that a device masks before min_tokens."""
PHRASE = 8
"""Tokens of a bad word that a device knows."""
MOST_PHRASES = 256
"""Bad words of several tokens that it compares with what came before."""
MANY = 128
"""Forbidden ids of which a vocabulary may have no more."""


FIELDS = 3
"""Words of a row without likeliest tokens: the token, its log-probability's bits, its rank."""


@dataclass(slots=True, frozen=True)
class Needs:
    """What a variant of the captured step does."""

    filters: bool = False
    penalties: bool = False
    bias: int = 0  # columns of the table
    stops: bool = False
    bits: bool = False
    phrases: int = 0  # columns of the table
    tops: int = 0
    logits: bool = False  # leave them for the host, too

    @property
    def plain(self) -> bool:
        """Whether it is common enough to be captured together with the layers."""
        return self in PLAIN

    @property
    def words(self) -> int:
        """Of each row's output."""
        return FIELDS + 2 * self.tops if self.tops else 2


PLAIN = (Needs(), Needs(filters=True))


def wants_of(request: Request) -> int:
    """The bits of a request; HOST alone where its sampling is the host's."""
    if _host(request):
        return HOST
    p = request.params
    filters = not p.greedy and (p.top_k > 0 or p.top_p < 1 or p.min_p > 0)
    grammar = request.matcher is not None
    return (
        FILTERS * filters
        | PENALTIES * p.penalizes
        | BIAS * bool(p.logit_bias)
        # a grammar's bits are the host's, who takes these out of them
        | STOPS * bool(p.min_tokens and stops_of(request) and not grammar)
        | BITS * bool(p.allowed_token_ids is not None or banned(request) or grammar)
        | PHRASES * bool(phrases_of(request) and not grammar)
        | GRAMMAR * grammar
    )


def top_of(request: Request) -> int:
    """How many of the likeliest tokens the device keeps at each position; NO_TOP: nothing of them."""
    count = request.params.logprobs
    return NO_TOP if count is None or _host(request) else count


def stops_of(request: Request) -> set[int]:
    """The tokens that end a request."""
    return {*request.eos_ids, *request.params.stop_ids}


def banned(request: Request) -> set[int]:
    """Tokens that a request may never sample."""
    return {word[0] for word in request.bad_words if len(word) == 1}


def phrases_of(request: Request) -> list[list[int]]:
    """Its bad words of several tokens: the last one may not follow the others."""
    return [word for word in request.bad_words if len(word) > 1]


def _host(request: Request) -> bool:
    p, stops = request.params, stops_of(request)
    return bool(
        p.logits_processors
        or request.wanted_ids is not None
        or (p.logprobs is not None and not 0 <= p.logprobs <= MAX_K)
        or len(p.logit_bias or ()) > MOST_BIASED
        or (p.min_tokens and len(stops) > MOST_STOPS)
        or len(phrases_of(request)) > MOST_PHRASES
        or any(len(word) > PHRASE for word in request.bad_words)
        or _may_be_empty(request, stops if p.min_tokens else set())
    )


def _may_be_empty(request: Request, stops: set[int]) -> bool:
    """Whether nothing may be left to sample, which the host has to say."""
    allowed = request.params.allowed_token_ids
    never = stops | {word[-1] for word in request.bad_words}
    return len(never) > MANY if allowed is None else never.issuperset(allowed)
