"""Which candidates of a beam search complete a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from nbllm.sampling_params import BeamSearchParams

from .text import Tokenizer


class StopStrings:
    """Decodes the few candidates whose own text could end, or lie across, the end of a stop string."""

    def __init__(self, params: BeamSearchParams, tokenizer: Tokenizer):
        self.stops, self.skip = params.stop_strings, params.skip_special_tokens
        self.tokenizer = tokenizer
        self.suspect = cache(self._suspect)

    def completed(self, beams: Sequence[Sequence[int]], tokens: np.ndarray) -> np.ndarray:
        """beams: the ids that each has generated; tokens [N, C] their candidates -> bool [N, C]."""
        found = np.zeros(tokens.shape, bool)
        for i, (ids, offered) in enumerate(zip(beams, tokens.tolist(), strict=True)):
            for j, token in enumerate(offered):
                found[i, j] = self.suspect(token) and self._stops([*ids, token])
        return found

    def _stops(self, ids: list[int]) -> bool:
        text = self.tokenizer.decode(ids, skip_special_tokens=self.skip)
        return any(stop in text for stop in self.stops)

    def _suspect(self, token: int) -> bool:
        text = self.tokenizer.decode([token], skip_special_tokens=self.skip)
        # a part of a character, or a token that shows only beside others
        if not text or "\ufffd" in text:
            return True
        # some decoders drop the space that a token begins with where nothing is before it
        return any(s[-1].isspace() or s[-1] in text for s in self.stops)
