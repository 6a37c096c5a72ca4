"""Log-probabilities in the shapes of OpenAI's two APIs, and in vLLM's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...engine.text import Tokenizer
from ...outputs import Logprob, likeliest
from .sequences import Position

LEAST = -9999.0
"""In place of -inf, which JSON does not have; as in vLLM."""


class Spelling:
    """How tokens are written.

    as_ids: "token_id:17" in place of a text, which may not be unique. special: special tokens are part
    of the choice's text.
    """

    def __init__(self, tokenizer: Tokenizer, *, as_ids: bool, special: bool):
        self._tokenizer, self._as_ids = tokenizer, as_ids
        self._unseen = frozenset() if special else tokenizer.special_ids

    def text(self, token: int, of: Logprob) -> str:
        return f"token_id:{token}" if self._as_ids else of.decoded_token

    def chat(self, positions: Sequence[Position], top: int) -> dict[str, Any]:
        """`logprobs` of a choice of a chat completion, with the `top` likeliest tokens."""
        content = []
        for position in positions:
            token, own = next(iter(position.items()))
            others = [self._entry(*each) for each in _best(position, top)]
            content.append({**self._entry(token, own), "top_logprobs": others})
        return {"content": content, "refusal": None}

    def completion(
        self, positions: Sequence[Position | None], ids: Sequence[int], top: int, offset: int
    ) -> tuple[dict[str, Any], int]:
        """`logprobs` of a choice of a completion, and where in its text they end.

        positions: of the tokens `ids`; None for the first of a prompt. offset: where they begin.
        """
        tokens, own, tops, offsets = [], [], [], []
        for token, position in zip(ids, positions, strict=True):
            if position is None:
                text = self._tokenizer.decode([token], skip_special_tokens=False)
                tokens.append(f"token_id:{token}" if self._as_ids else text)
                own.append(None)
                tops.append(None)
            else:
                text = position[token].decoded_token
                tokens.append(self.text(token, position[token]))
                own.append(clamped(position[token].logprob))
                tops.append(self._tops(token, position, top))
            offsets.append(offset)
            offset += 0 if token in self._unseen else len(text)
        found = {"tokens": tokens, "token_logprobs": own, "top_logprobs": tops}
        return {**found, "text_offset": offsets}, offset

    def _tops(self, token: int, position: Position, top: int) -> dict[str, float]:
        """The likeliest tokens, and the generated one whether it is among them or not."""
        wanted = [*_best(position, top), (token, position[token])]
        return {self.text(t, p): clamped(p.logprob) for t, p in wanted}

    def _entry(self, token: int, of: Logprob) -> dict[str, Any]:
        return {
            "token": self.text(token, of),
            "logprob": clamped(of.logprob),
            "bytes": list(self._tokenizer.token_bytes(token)),
        }


def _best(position: Position, top: int) -> list[tuple[int, Logprob]]:
    """The `top` likeliest tokens, best first; −1: all that are known."""
    ids = {id(p): token for token, p in position.items()}
    return [(ids[id(p)], p) for p in likeliest(position)][: top if top >= 0 else None]


def prompt_logprobs(positions: Sequence[Position | None]) -> list[dict[str, Any] | None]:
    """vLLM's: a dictionary a prompt token, by token id; None for the first."""
    return [p if p is None else {str(t): _vllm(own) for t, own in p.items()} for p in positions]


def _vllm(of: Logprob) -> dict[str, Any]:
    return {"logprob": clamped(of.logprob), "rank": of.rank, "decoded_token": of.decoded_token}


def clamped(logprob: float) -> float:
    """A number that JSON has."""
    return max(logprob, LEAST)
