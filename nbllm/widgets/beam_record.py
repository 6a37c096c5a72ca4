"""The record of a beam search as a page gets it: arrays as they are, and the texts of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..beams import History
from ..views.beam_data import Tree

ARRAYS = {
    "tokens": np.int32,  # [S, W, C] candidates
    "logprobs": np.float32,  # [S, W, C]; -inf: no candidate
    "completed": np.uint8,  # [S, W, C] whether each finished a sequence
    "kept": np.int32,  # [S, W] beam * C + rank of the candidates that lived on
    "scores": np.float64,  # [S, W] their cumulative log-probabilities; -inf: no such beam
}
"""name → what its bytes are."""

PROMPT = 12
"""Tokens of a prompt's end that a tree begins with."""


class Record:
    """What a page has been told of a search, which may still go on.

    A token's text is what it adds behind the prompt. A beam's own text is sent where it is another:
    tokens that only together are a character.
    """

    def __init__(self):
        self._pieces: dict[int, tuple[str, bool]] = {}
        self._tree: Tree | None = None

    def steps(self, history: History, start: int) -> tuple[dict[str, Any], list[bytes]]:
        """What there is to say from step `start` (from 0) on; the bytes are those of `ARRAYS`."""
        ids = np.unique(history.tokens[start:]).tolist() if history.num_steps > start else []
        new = {token: piece(history, token) for token in ids if token not in self._pieces}
        self._pieces |= new
        said = {
            "start": start,
            "steps": history.num_steps,
            "pieces": [[token, text] for token, (text, _) in new.items()],
            "special": [token for token, (_, special) in new.items() if special],
            "texts": self._texts(history, start),
        }
        return said, self._arrays(history, start)

    def _arrays(self, history: History, start: int) -> list[bytes]:
        if history.num_steps <= start:
            return [b""] * len(ARRAYS)
        arrays = {
            "tokens": history.tokens,
            "logprobs": history.logprobs,
            "completed": history.completed,
            "kept": history.kept,
            "scores": history.scores[1:],
        }
        return [arrays[name][start:].astype(kind).tobytes() for name, kind in ARRAYS.items()]

    def _texts(self, history: History, start: int) -> list[list[Any]]:
        """[step, beam, text] of beams whose token is spelled otherwise than the token alone."""
        tree = self._tree = self._tree or Tree(history, room=0)
        # it goes on where it ended
        tree.history = history
        found: list[list[Any]] = []
        for step in range(start, history.num_steps):
            lives = history.scores[step + 1] > -np.inf
            for beam in np.flatnonzero(lives).tolist():
                place = divmod(int(history.kept[step, beam]), history.tokens.shape[2])
                text = tree.text[tree.add((step, *place))]
                if text != self._pieces[int(history.tokens[step, *place])][0]:
                    found.append([step, beam, text])
        return found


def header(history: History) -> dict[str, Any]:
    """What holds for all steps.

    prompt: its end. single: scores are added up in single precision, as Hugging Face does. first: those
    of the beams before the first step. ends: tokens that end a sequence.
    """
    params = history.params
    return {
        "single": params.early_stopping is not None,
        "prompt": history.decode(history.prompt_ids[-PROMPT:]),
        "width": params.beam_width,
        "candidates": history.tokens.shape[2] if history.num_steps else 0,
        "first": [None if score == -np.inf else score for score in history.scores[0].tolist()],
        "groups": params.num_beam_groups,
        "ends": sorted({*history.eos_ids, *params.stop_ids}),
    }


def piece(history: History, token: int) -> tuple[str, bool]:
    """What a token adds behind the prompt's end, and whether it is special and so adds nothing."""
    decode, before = history.decode, history.prompt_ids[-2:]
    if not decode([token]) and (spelled := history.spell(token)):
        return spelled, True
    return decode([*before, token])[len(decode(before)) :] or decode([token]), False
