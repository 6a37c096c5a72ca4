"""From logits to tokens in a captured step: what the rows of a step need, and its state on the device.

There is a variant of the step for each combination of needs that has come up. Their tables are made
when a request first asks: counts of tokens for penalties, biases, and bits of allowed tokens. Each
line of a table belongs to a placement of a row and is written when that is new; a captured step
itself counts the tokens that it appends.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nbllm_kernels.hand_over import hand_over
from nbllm_kernels.process_logits import EarlyStops, Listed, Penalties, process_logits
from nbllm_kernels.row_steps import RowState, advance
from nbllm_kernels.sample import sample
from nbllm_kernels.top_logprobs import MAX_K, top_logprobs

from .columns import Ring
from .device_rows import DeviceRows
from .needs import (
    BIAS,
    BITS,
    FIELDS,
    FILTERS,
    PENALTIES,
    PHRASE,
    PHRASES,
    STOPS,
    Needs,
    banned,
    phrases_of,
)
from .request import Request
from .rows import Rows

TOPS = (1, 5, 10, 20, MAX_K)
"""Likeliest tokens that variants of a step keep."""
COLUMNS = 16
"""Of a table at first; later twice as many as often as needed."""


class Draws:
    """Samples rows of the device, and appends their tokens there."""

    def __init__(
        self,
        rows: Rows,
        on_device: DeviceRows,
        vocab: int,
        most: int,
        *,
        parts: int,
        ordered: bool = False,
    ):
        self.rows, self.on_device, self.vocab, self.ordered = rows, on_device, vocab, ordered
        self.device = on_device.words.device
        size = (FIELDS + 2 * MAX_K) * most
        self._out = torch.zeros(size, dtype=torch.int32, device=self.device)
        self.ring = Ring(parts, size, self.device)
        self._counts: Tensor | None = None  # as `Penalties.counts`
        self._biases: Listed | None = None
        self._bits: Tensor | None = None
        self._phrases: Tensor | None = None  # [max_rows + 1, W, PHRASE] int32, -1 before and beyond
        self._recent = self._none(PHRASE - 1)  # [max_rows + 1, PHRASE - 1] the newest output tokens
        # lines that do not leave a row as it is
        self._biased = np.zeros(rows.max_rows, bool)
        self._limited = np.zeros(rows.max_rows, bool)
        self._worded = np.zeros(rows.max_rows, bool)

    def needs(self, index: np.ndarray) -> Needs:
        """Those of the rows `index` together. `follow` has seen all of them."""
        rows = self.rows
        wants = int(np.bitwise_or.reduce(rows.wants[index], initial=0))
        early = bool(wants & STOPS)
        if early:
            some = index[(rows.wants[index] & STOPS) > 0]
            early = bool((self.on_device.length[some] < rows.min_length[some]).any())
        top = int(rows.top[index].max(initial=-1))
        return Needs(
            filters=bool(wants & FILTERS),
            penalties=bool(wants & PENALTIES),
            bias=self._biases.ids.shape[1] if wants & BIAS and self._biases else 0,
            stops=early,
            bits=bool(wants & BITS),
            phrases=self._phrases.shape[1] if wants & PHRASES and self._phrases is not None else 0,
            tops=min(next(k for k in TOPS if k >= top), self.vocab) if top >= 0 else 0,
        )

    def follow(self, moved: np.ndarray) -> None:
        """Write the lines of the rows `moved`, which have others' tokens."""
        if not len(moved):
            return
        wants = self.rows.wants[moved]
        if len(which := moved[(wants & PENALTIES) > 0]):
            self._count(which)
        for bit, written, write in (
            (BIAS, self._biased, self._bias),
            (BITS, self._limited, self._limit),
            (PHRASES, self._worded, self._word),
        ):
            if len(which := moved[((wants & bit) > 0) | written[moved]]):
                written[which] = True  # whatever comes between
                write(which)

    def allow(self, index: np.ndarray, bits: Tensor) -> None:
        """Set which tokens the rows `index` may sample next; bits [R, words] int32, on the host."""
        table = self._table()
        wide = min(bits.shape[1], table.shape[1])
        where = self._put(index)
        table[where, :wide] = bits[:, :wide].to(self.device, non_blocking=True)

    def draw(self, logits: Tensor, index: Tensor, needs: Needs) -> None:
        """A token each for the rows `index` [R] of the device from logits [R, V], for `ring`."""
        v, state = self.on_device.views, self._state(needs)
        x = self._processed(logits, index, needs)
        of = v["temperature"], v["top_k"], v["top_p"], v["min_p"], v["seed"], v["length"]
        raw = None if x is logits else logits
        words = self._out[: needs.words * len(index)]
        out = words.view(needs.words, -1)
        how = {"filters": needs.filters, "ordered": self.ordered}
        tokens, _ = sample(x, index, *of, raw=raw, logprobs=out[1].view(torch.float32), **how)
        if k := needs.tops:
            values, ids, rank = top_logprobs(logits, k, tokens)
            out[2].copy_(rank)
            out[FIELDS : FIELDS + k].copy_(ids.T)
            out[FIELDS + k :].copy_(values.T.contiguous().view(torch.int32))
        if needs.phrases:
            older = self._recent[index, 1:]
            self._recent[index] = torch.cat((older, tokens[:, None].int()), 1)
        advance(state, index, tokens, out[0])
        hand_over(words, self.ring.memory, self.ring.turn, index, self.on_device.idle)

    def _state(self, needs: Needs) -> RowState:
        state = self.on_device.state
        return replace(state, counts=self._counts) if needs.penalties else state

    def _processed(self, logits: Tensor, index: Tensor, needs: Needs) -> Tensor:
        if not (needs.penalties or needs.bias or needs.stops or needs.bits or needs.phrases):
            return logits
        v, penalties, stops = self.on_device.views, None, None
        if needs.penalties:
            assert self._counts is not None
            strengths = {name: v[name] for name in ("repetition", "presence", "frequency")}
            penalties = Penalties(counts=self._counts, **strengths)
        if needs.stops:
            stops = EarlyStops(ids=v["early"], length=v["length"], min_length=v["min_length"])
        biases, bits = self._biases if needs.bias else None, self._bits if needs.bits else None
        x = process_logits(logits, index, penalties, biases, stops, bits)
        if needs.phrases:
            assert self._phrases is not None
            x = forbid_ends(x, self._phrases[index], self._recent[index])
        return x

    def _count(self, which: np.ndarray) -> None:
        """Count the tokens of the rows `which` from their beginning."""
        if self._counts is None:
            shape = self.rows.max_rows + 1, self.vocab
            self._counts = torch.zeros(shape, dtype=torch.int32, device=self.device)
        prompts, outputs = [], []
        for row in which:
            request, first = self._request(row), int(row) * self.vocab
            tokens = first + np.array(request.tokens)
            prompts.append(tokens[: request.num_prompt])
            outputs.append(tokens[request.num_prompt :])
        prompt, output = self._put(np.concatenate(prompts)), self._put(np.concatenate(outputs))
        self._counts.index_fill_(0, self._put(which), 0)
        flat = self._counts.view(-1)
        flat.index_fill_(0, prompt, 1)
        flat.index_add_(0, output, torch.full_like(output, 2, dtype=torch.int32))

    def _bias(self, which: np.ndarray) -> None:
        """Write the biases of the rows `which`, none for a row without."""
        given = [self._request(row).params.logit_bias or {} for row in which]
        if self._biases is None or max(map(len, given)) > self._biases.ids.shape[1]:
            width, which = self._wider(given), self._all(which, BIAS)
            self._biases = Listed(
                ids=self._none(width),
                bias=torch.zeros(
                    self.rows.max_rows + 1, width, dtype=torch.float32, device=self.device
                ),
                # allowed_token_ids are bits
                only=torch.zeros(self.rows.max_rows + 1, dtype=torch.int32, device=self.device),
            )
            given = [self._request(row).params.logit_bias or {} for row in which]
        ids = np.full((len(which), self._biases.ids.shape[1]), -1, np.int32)
        bias = np.zeros(ids.shape, np.float32)
        for i, each in enumerate(given):
            ids[i, : len(each)], bias[i, : len(each)] = list(each), list(each.values())
        where = self._put(which)
        self._biases.ids[where] = self._put(ids)
        self._biases.bias[where] = self._put(bias)
        self._biased[which] = [bool(each) for each in given]

    def _word(self, which: np.ndarray) -> None:
        """Write the bad words of the rows `which`, and what they have sampled."""
        given = [phrases_of(self._request(row)) for row in which]
        if self._phrases is None or max(map(len, given)) > self._phrases.shape[1]:
            width, which = self._wider(given), self._all(which, PHRASES)
            self._phrases = self._none(width, PHRASE)
            given = [phrases_of(self._request(row)) for row in which]
        words = np.full((len(which), *self._phrases.shape[1:]), -1, np.int32)
        recent = np.full((len(which), PHRASE - 1), -1, np.int32)
        for i, (row, each) in enumerate(zip(which, given, strict=True)):
            for j, word in enumerate(each):
                words[i, j, -len(word) :] = word
            if newest := self._request(row).output_ids[1 - PHRASE :]:
                recent[i, -len(newest) :] = newest
        where = self._put(which)
        self._phrases[where], self._recent[where] = self._put(words), self._put(recent)
        self._worded[which] = [bool(each) for each in given]

    def _all(self, which: np.ndarray, bit: int) -> np.ndarray:
        """The rows `which`, and all others that have something in a table that is made anew."""
        rows = self.rows
        has = np.array([request is not None for request in rows.request])
        return np.union1d(which, np.flatnonzero(has & ((rows.wants & bit) > 0)))

    def _wider(self, given: Sequence[Sized]) -> int:
        """Columns of a table that has room for the longest of these."""
        return max(COLUMNS, 1 << (max(map(len, given)) - 1).bit_length())

    def _none(self, *shape: int) -> Tensor:
        """A table [max_rows + 1, *shape] of no token."""
        shape = self.rows.max_rows + 1, *shape
        return torch.full(shape, -1, dtype=torch.int32, device=self.device)

    def _limit(self, which: np.ndarray) -> None:
        """Write which tokens the rows `which` may sample, all for a row that may any."""
        lines = [packed(allowed_of(self._request(row), self.vocab)) for row in which]
        self._table()[self._put(which)] = self._put(np.stack(lines))
        self._limited[which] = (self.rows.wants[which] & BITS) > 0

    def _table(self) -> Tensor:
        if self._bits is None:
            shape = self.rows.max_rows + 1, -(-self.vocab // 32)
            self._bits = torch.full(shape, -1, dtype=torch.int32, device=self.device)
        return self._bits

    def _request(self, row: int) -> Request:
        request = self.rows.request[row]
        assert request is not None, "a row that runs has a request"
        return request

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)


def forbid_ends(x: Tensor, words: Tensor, recent: Tensor) -> Tensor:
    """Forbid what would complete a bad word, in logits x [R, V], in place.

    words [R, W, L]: tokens, -1 before the first and in all of no word; recent [R, L - 1]: the newest.
    """
    before, last = words[..., :-1], words[..., -1]
    begun = ((before < 0) | (before == recent[:, None])).all(-1) & (last >= 0)
    never = torch.where(begun, -torch.inf, 0.0).to(x.dtype)
    return x.scatter_add_(1, last.clamp(min=0).long(), never)


def allowed_of(request: Request, vocab: int) -> np.ndarray:
    """Which tokens a request may sample, whatever came before: [V] bool."""
    allowed = np.ones(vocab, bool)
    if (ids := request.params.allowed_token_ids) is not None:
        allowed[:] = False
        allowed[ids] = True
    allowed[list(banned(request))] = False
    return allowed


def packed(allowed: np.ndarray) -> np.ndarray:
    """[V] bool → [ceil(V / 32)] int32, the lowest bit first."""
    bits = np.packbits(np.pad(allowed, (0, -len(allowed) % 32)), bitorder="little")
    return bits.view(np.int32)
