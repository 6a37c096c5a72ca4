"""What a beam search has found, made from a few arrays when somebody asks. No torch.

A search leaves one `Step` a step on the host: every beam's candidates, which of them completed a
sequence and which lived on. Sequences are paths through these arrays; text, log-probabilities and
the trace come from them on first use, and need neither the model nor its cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from .outputs import Logprob
from .sampling_params import BeamSearchParams


@dataclass(slots=True, kw_only=True, frozen=True)
class Step:
    """One step of searches that step together: G searches, W beams, C candidates each."""

    groups: np.ndarray  # [G] which searches these are, ascending
    tokens: np.ndarray  # [G, W, C] int32, each beam's likeliest first
    logprobs: np.ndarray  # [G, W, C] float32; -inf: no candidate
    ranks: np.ndarray | None  # [G, W, C] among all tokens; None: 1 … C
    completed: np.ndarray  # [G, W, C] bool: finished a sequence
    kept: np.ndarray  # [G, W] beam * C + rank of the candidates that became the next beams
    scores: np.ndarray  # [G, W] their cumulative log-probabilities; -inf: no such beam


@dataclass(slots=True, kw_only=True, frozen=True)
class Hypothesis:
    """A sequence, by its last candidate; step 0 is the prompt alone."""

    step: int
    beam: int
    rank: int
    cum_logprob: float
    score: float
    live: bool  # it could have gone on


class History:
    """One search: its prompt, its rules and all its steps.

    steps: those of a wave; `index` says which of its searches this is. aborted: it was cut short,
    so the live beams count among the results, as they do where the search went on to its last step.
    decode: ids to text, special tokens left out or not as the parameters say; spell: one id to its
    text, whatever it is.
    """

    def __init__(
        self,
        prompt_ids: list[int],
        params: BeamSearchParams,
        eos_ids: frozenset[int],
        steps: Sequence[Step],
        index: int,
        *,
        aborted: bool,
        decode: Callable[[Sequence[int]], str],
        spell: Callable[[int], str],
    ):
        self.prompt_ids, self.params, self.eos_ids = prompt_ids, params, eos_ids
        self.aborted, self.decode, self._spell = aborted, decode, spell
        self._wave, self._index = steps, index

    @cached_property
    def spell(self) -> Callable[[int], str]:
        """One id to its text, remembered."""
        return cache(self._spell)

    @cached_property
    def _steps(self) -> list[tuple[Step, int]]:
        """The steps that this search was part of, and its place in each."""
        at = [(s, int(np.searchsorted(s.groups, self._index))) for s in self._wave]
        return [(s, i) for s, i in at if i < len(s.groups) and s.groups[i] == self._index]

    @property
    def num_steps(self) -> int:
        return len(self._steps)

    def under(self, params: BeamSearchParams, steps: Sequence[Step], *, aborted: bool) -> History:
        """The same prompt under other parameters. steps: of this search alone."""
        return History(
            self.prompt_ids, params, self.eos_ids, steps, 0,
            aborted=aborted, decode=self.decode, spell=self.spell,
        )  # fmt: skip

    @cached_property
    def tokens(self) -> np.ndarray:
        """Candidates [S, W, C]."""
        return np.stack([s.tokens[i] for s, i in self._steps])

    @cached_property
    def logprobs(self) -> np.ndarray:
        """Their log-probabilities [S, W, C]; -inf: no candidate."""
        return np.stack([s.logprobs[i] for s, i in self._steps])

    @cached_property
    def ranks(self) -> np.ndarray | None:
        """Their ranks among all tokens [S, W, C]; None: 1 … C."""
        found = [s.ranks[i] for s, i in self._steps if s.ranks is not None]
        return np.stack(found) if found else None

    @cached_property
    def completed(self) -> np.ndarray:
        """Whether each finished a sequence [S, W, C]."""
        return np.stack([s.completed[i] for s, i in self._steps])

    @cached_property
    def kept(self) -> np.ndarray:
        """The candidates that lived on [S, W], as beam * C + rank."""
        return np.stack([s.kept[i] for s, i in self._steps])

    @cached_property
    def scores(self) -> np.ndarray:
        """Cumulative log-probabilities of the beams before each step, and after the last [S + 1, W]."""
        width, groups = self.params.beam_width, self.params.num_beam_groups
        dtype = self._steps[0][0].scores.dtype if self._steps else np.float64
        first = np.full(width, -np.inf, dtype)
        first[:: width // groups] = 0  # one beam in each group of beams
        return np.stack([first, *(s.scores[i] for s, i in self._steps)])

    @cached_property
    def totals(self) -> np.ndarray:
        """Cumulative log-probabilities of the candidates [S, W, C]."""
        return self.scores[:-1, :, None] + self.logprobs

    @cached_property
    def hypotheses(self) -> list[Hypothesis]:
        """The sequences to return, best first; ties as they were found, live ones last."""
        found = [*self._completed(), *self._live()]
        return sorted(found, key=lambda h: -h.score)[: self.params.num_returned]

    def _completed(self) -> list[Hypothesis]:
        if not self._steps:
            return []
        at = np.nonzero(self.completed)
        cums = self.totals[at]
        # in the dtype of the search: Hugging Face compares float32
        scores = cums / ((at[0] + 1.0) ** self.params.length_penalty).astype(cums.dtype)
        rows = zip(*(a.tolist() for a in at), cums.tolist(), scores.tolist(), strict=True)
        return [
            Hypothesis(step=s + 1, beam=b, rank=r, cum_logprob=cum, score=score, live=False)
            for s, b, r, cum, score in rows
        ]

    def _live(self) -> list[Hypothesis]:
        """The beams after the last step: results as well, but for a search that HF's rules ended."""
        if self.params.early_stopping is not None and not self.aborted:
            return []
        count = self.num_steps
        penalty = max(count, 1) ** self.params.length_penalty
        alive = np.flatnonzero(self.scores[-1] > -np.inf).tolist()
        if not count:
            alive = alive[:1]  # the prompt, once
        places = (
            [divmod(int(self.kept[-1, i]), self.tokens.shape[2]) for i in alive]
            if count
            else [(0, 0)]
        )
        return [
            Hypothesis(step=count, beam=b, rank=r, cum_logprob=cum, score=cum / penalty, live=True)
            for (b, r), cum in zip(places, self.scores[-1, alive].tolist(), strict=True)
        ]

    def path(self, h: Hypothesis) -> list[tuple[int, int]]:
        """(beam, rank) of the candidate that each step of a sequence took."""
        places, beam, rank = [], h.beam, h.rank
        for step in range(h.step - 1, -1, -1):
            places.append((beam, rank))
            if step:
                beam, rank = divmod(int(self.kept[step - 1, beam]), self.tokens.shape[2])
        return places[::-1]

    def generated(self, h: Hypothesis) -> list[int]:
        """The token ids after the prompt."""
        return [int(self.tokens[s, b, r]) for s, (b, r) in enumerate(self.path(h))]

    def token_logprobs(self, h: Hypothesis) -> list[float]:
        """The log-probability of each generated token."""
        return [float(self.logprobs[s, b, r]) for s, (b, r) in enumerate(self.path(h))]

    def alternatives(self, h: Hypothesis) -> list[dict[int, Logprob]]:
        """At each position the token itself, then the other candidates of its beam."""
        return [self._position(s, b, r) for s, (b, r) in enumerate(self.path(h))]

    def _position(self, step: int, beam: int, own: int) -> dict[int, Logprob]:
        ranks = None if self.ranks is None else self.ranks[step, beam].tolist()
        tokens, logprobs = self.tokens[step, beam].tolist(), self.logprobs[step, beam].tolist()
        order = [own, *(j for j in range(len(tokens)) if j != own and logprobs[j] > -np.inf)]
        return {
            tokens[j]: Logprob(
                logprob=logprobs[j],
                rank=j + 1 if ranks is None else ranks[j],
                decoded_token=self.spell(tokens[j]),
            )
            for j in order
        }

    def reason(self, h: Hypothesis) -> tuple[str, int | str | None]:
        """(finish_reason, stop_reason)."""
        if h.live:
            return ("abort" if self.aborted else "length"), None
        ids = self.generated(h)
        if ids[-1] in self.eos_ids:
            return "stop", None
        if ids[-1] in self.params.stop_ids:
            return "stop", ids[-1]
        if (found := self._stop(self.decode(ids))) is not None:
            return "stop", found[1]
        return "length", None

    def text(self, h: Hypothesis) -> str:
        """The generated text, without what ended it unless that is to be included."""
        return self.decode(self._spoken(h))[: self._end(h)]

    def whole_text(self, h: Hypothesis) -> str:
        """Prompt and generated text, decoded together."""
        spoken = self._spoken(h)
        end = self._end(h)
        cut = 0 if end is None else len(self.decode(spoken)) - end
        text = self.decode([*self.prompt_ids, *spoken])
        return text[: len(text) - cut]

    def _spoken(self, h: Hypothesis) -> list[int]:
        """The ids whose text shows: an EOS or stop token is no text."""
        ids = self.generated(h)
        silent = not h.live and ids[-1] in {*self.eos_ids, *self.params.stop_ids}
        return ids[:-1] if silent and not self.params.include_stop_str_in_output else ids

    def _end(self, h: Hypothesis) -> int | None:
        """Where a stop string ends the generated text; None: it does not."""
        if not isinstance(stop := self.reason(h)[1], str):
            return None
        at, _ = self._stop(self.decode(self.generated(h))) or (0, "")
        return at + len(stop) if self.params.include_stop_str_in_output else at

    def _stop(self, text: str) -> tuple[int, str] | None:
        """The earliest stop string in a text; ties go to the list's order."""
        found = [(at, s) for s in self.params.stop_strings if (at := text.find(s)) >= 0]
        return min(found, key=lambda hit: hit[0], default=None)
