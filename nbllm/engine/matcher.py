"""How far a sequence is in its grammar, and which tokens may come next."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbllm.errors import ParamError

if TYPE_CHECKING:
    from llguidance import LLExecutor, LLMatcher


FIRST = 128
"""Words of a mask that are looked at before all of them."""

Compute = Callable[[Sequence["Matcher"], np.ndarray], None]
"""Sets the bits [matchers, num_words] of what may come next."""


class Matcher:
    """How far one sequence is in its grammar. Derived from its tokens; not for two threads at once.

    begin: where in the tokens that `follow` gets the constrained ones start (after the prompt).
    avoided: (words, bits of each) of the EOS ids when the output is to go on as long as the grammar
    can; the same for all matchers of a vocabulary that have any.

    Beam search keeps one a beam: `fork` where a beam splits (microseconds), `accept` for the token
    it takes, and `Masks.begin` or `allowed` for what may come next.
    """

    def __init__(
        self,
        initial: LLMatcher,
        num_words: int,
        *,
        begin: int = 0,
        avoided: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self._initial, self.num_words, self.begin, self.avoided = initial, num_words, begin, avoided
        self._restart()

    def _restart(self) -> None:
        # not reset(), which an earlier error may survive
        self.native, self._num, self._last = self._initial.deep_copy(), 0, None

    def fork(self) -> Matcher:
        """An independent matcher in the same state."""
        twin = object.__new__(Matcher)
        twin.__dict__ = {**self.__dict__, "native": self.native.deep_copy()}
        return twin

    def follow(self, tokens: Sequence[int]) -> None:
        """Consume those of tokens[begin:] that it does not know yet.

        Tokens that do not continue what it knows, or an interrupt that hit the last call, make it
        start over. Raises `ParamError` for a token that the grammar does not allow.
        """
        num = self._num
        known = self.begin + (num or 0)
        if num is None or known > len(tokens) or (num and tokens[known - 1] != self._last):
            self._restart()
            num, known = 0, self.begin
        if new := tokens[known:]:
            self._num = None  # unknown until all are consumed
            if not self.native.consume_tokens(list(new)):
                raise self.dead_end(num)
            self._num, self._last = num + len(new), new[-1]

    def accept(self, token: int) -> bool:
        """Consume one token; False, and no change, if the grammar does not allow it.

        After an interrupt inside it only `follow` with all tokens tells where it is.
        """
        num, self._num = self._num, None
        taken = self.native.try_consume_tokens([token]) == 1
        self._num, self._last = (num + taken if num is not None else None), token
        return taken

    @property
    def complete(self) -> bool:
        """Whether nothing but EOS may follow."""
        return self.native.is_stopped() and not self.native.is_error()

    def allowed(self) -> np.ndarray:
        """[32 · num_words] bool: which tokens may come next."""
        return unpacked(fill([self], [None]))[0]

    def dead_end(self, known: int | None = None) -> ParamError:
        """Why nothing may follow, or no more than the `known` tokens."""
        count = (self._num or 0) if known is None else known
        reason = reason_of(self.native.get_error())
        if not reason or reason.startswith("NoExtension"):
            reason = "no token of this vocabulary continues it as it must"
        return ParamError(f"structured_outputs, after {count} tokens of output: {reason}")


def fill(
    matchers: Sequence[Matcher],
    tokens: Sequence[Sequence[int] | None],
    bits: np.ndarray | None = None,
    compute: Compute | None = None,
) -> np.ndarray:
    """Let the matchers follow their tokens (None: they have) and set the bits of what may come next.

    bits: [matchers, num_words] int32, made if not given; compute: what sets them, `one_by_one` if
    not given. Raises `ParamError` where nothing may come next.
    """
    if bits is None:
        bits = np.empty((len(matchers), matchers[0].num_words), np.int32)
    for matcher, sequence in zip(matchers, tokens, strict=True):
        if sequence is not None:
            matcher.follow(sequence)
    (compute or one_by_one)(matchers, bits)
    for matcher in matchers:
        if matcher.native.is_error():
            raise matcher.dead_end()
    _avoid(matchers, bits)
    return bits


def one_by_one(matchers: Sequence[Matcher], bits: np.ndarray) -> None:
    """Set the bits of what may come next."""
    for matcher, row in zip(matchers, bits, strict=True):
        matcher.native.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)


def at_a_time(executor: LLExecutor, matchers: Sequence[Matcher], bits: np.ndarray) -> None:
    """The same on an executor's threads."""
    indexed = [(matcher.native, i) for i, matcher in enumerate(matchers)]
    executor.unsafe_compute_mask_ptr(indexed, bits.ctypes.data, bits.strides[0], len(bits))


def _avoid(matchers: Sequence[Matcher], bits: np.ndarray) -> None:
    """Clear the bits that matchers avoid where others are left."""
    which = np.array([i for i, m in enumerate(matchers) if m.avoided is not None], np.int64)
    if not len(which) or (avoided := matchers[which[0]].avoided) is None:
        return
    words, theirs = avoided
    found = bits[which[:, None], words]
    having = (found & theirs).any(1)
    which, found = which[having], found[having]
    bits[which[:, None], words] = found & ~theirs
    # most have others among the first already
    rest = ~bits[which, :FIRST].any(1)
    for i, before in zip(which[rest], found[rest], strict=True):
        if not bits[i].any():
            bits[i, words] = before


def unpacked(bits: np.ndarray) -> np.ndarray:
    """[B, words] int32 → [B, 32 · words] bool, the lowest bit first."""
    return np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little").view(bool)


def reason_of(message: str, placed: bool = False) -> str:
    """What a message of several lines means; `placed`: with its line and column."""
    first = (message.strip().splitlines() or [""])[0]
    place = re.match(r"(?:at )?(\d+)\((\d+)\): ", first)
    inner = re.search(r"^error: (.+)$", message, re.MULTILINE)
    text = inner[1] if inner else first[place.end() if place else 0 :]
    text = re.sub(r"^invalid regex .* \(in regex\): ", "", text)
    text = re.sub(r"^Unimplemented keys: \[(.*)\]$", r"keywords that cannot be enforced: \1", text)
    return f"line {place[1]}, column {place[2]}: {text}" if placed and place else text
