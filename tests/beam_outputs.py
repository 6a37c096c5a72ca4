"""Beam searches without a model: a few tokens with given probabilities, searched plainly."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from nbllm.beams import History, Step
from nbllm.outputs import BeamSearchOutput, RequestMetrics
from nbllm.sampling_params import BeamSearchParams

END = b"<end>"
"""The text of the EOS, the one special token: id 0."""
Choices = Callable[[tuple[int, ...]], dict[int, float]]
"""The generated ids so far → the probability of each next id."""


class Words:
    """A vocabulary of byte strings; id 0 is the EOS."""

    def __init__(self, *words: str | bytes):
        self.words = [END, *(w.encode() if isinstance(w, str) else w for w in words)]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.words[i] for i in ids if i).decode(errors="replace")

    def spell(self, token: int) -> str:
        return self.words[token].decode(errors="replace")


def searched(
    words: Words,
    choices: Choices,
    params: BeamSearchParams,
    *,
    prompt: str = "p",
    prompt_ids: tuple[int, ...] = (1,),
    num_steps: int | None = None,
    at_step: Callable[[int], None] = lambda step: None,
) -> BeamSearchOutput:
    """num_steps: ends the search early, as an interrupt does."""
    steps = list(_steps(choices, params, num_steps, at_step))
    aborted = num_steps is not None
    history = History(
        list(prompt_ids), params, frozenset() if params.ignore_eos else frozenset([0]), steps, 0,
        aborted=aborted, decode=words.decode, spell=words.spell,
    )  # fmt: skip
    now = time.time()
    return BeamSearchOutput(
        request_id="7-0",
        prompt=prompt,
        prompt_token_ids=list(prompt_ids),
        finished=not aborted,
        metrics=RequestMetrics(
            arrival_time=now, first_token_time=now, finished_time=now, tokens_per_second=1.0
        ),
        history=history,
    )


def _steps(choices, params, num_steps, at_step):
    width = params.beam_width
    count = 2 * width
    beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for number in range(1, (params.max_tokens if num_steps is None else num_steps) + 1):
        at_step(number)
        if not beams:
            return
        tokens = np.zeros((1, width, count), np.int32)
        logprobs = np.full((1, width, count), -np.inf, np.float32)
        completed = np.zeros((1, width, count), bool)
        offers = []
        for b, (ids, score) in enumerate(beams):
            likeliest = sorted(choices(ids).items(), key=lambda item: -item[1])[:count]
            for r, (token, p) in enumerate(likeliest):
                tokens[0, b, r], logprobs[0, b, r] = token, math.log(p)
                if token == 0 and not params.ignore_eos:
                    completed[0, b, r] = True
                else:
                    offers.append((score + math.log(p), b, r, (*ids, token)))
        best = sorted(offers, key=lambda offer: -offer[0])[:width]
        kept, scores = np.zeros((1, width), int), np.full((1, width), -np.inf)
        for i, (score, b, r, _) in enumerate(best):
            kept[0, i], scores[0, i] = b * count + r, score
        beams = [(ids, score) for score, _, _, ids in best]
        yield Step(
            groups=np.array([0]), tokens=tokens, logprobs=logprobs, ranks=None,
            completed=completed, kept=kept, scores=scores,
        )  # fmt: skip
