"""Beam searches as one JSON-able dictionary: what the views draw, and what a saved notebook keeps.

    {"version": 1, "kind": "beam", "searches": [
        {"prompt": str, "finished": bool, "beam_width": int, "num_steps": int, "num_candidates": int,
         "sequences": [
            {"rank": int, "text": str, "score", "cumulative_logprob", "num_tokens", "finish_reason",
             "diverges_at": int | None, "nodes": [int, ...], "hidden": int}],
         "nodes": {"parent": [...], "text": [...], "logprob": [...], "rank": [...], "state": [...],
                   "special": [int, ...]},
         "omitted_nodes": int}],
     "omitted": int}

A node is a candidate: its parent is the node before it (-1: the prompt), its step follows from that;
its rank is that among all candidates of the step; its state is "live", "pruned", "finished" or
"returned". A sequence is a list of nodes. A token that completes no character has the text "", and
the one that completes it has it all; "special" nodes are such as the EOS, spelled out. "hidden"
characters at a sequence's end are no part of its text: those of a stop string.

Nodes beyond `MAX_NODES` and sequences beyond `MAX_SEQUENCES` are left out. What is returned goes
first, then what lived, then the likeliest of what was pruned. The frames have them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..beams import History
from ..outputs import BeamSearchOutput, BeamSearchSequence
from .data import rounded

MAX_SEQUENCES = 100
MAX_NODES = 2000
MAX_PRUNED = 4
"""Of a beam's candidates the first so many are kept even if they were pruned."""

STATES = ("pruned", "live", "finished", "returned")

Place = tuple[int, int, int]
"""Step (from 0), beam and rank within the beam of a candidate."""


def beams(
    outputs: Sequence[BeamSearchOutput], *, prompts: Sequence[str] | None = None
) -> dict[str, Any]:
    """The dictionary above. prompts: what to show as the prompts."""
    shown = prompts if prompts is not None else [output.prompt or "" for output in outputs]
    room, nodes, searches = MAX_SEQUENCES, MAX_NODES, []
    for prompt, output in zip(shown, outputs, strict=True):
        if not (sequences := output.sequences[:room]):
            break
        search = _search(prompt, output, sequences, nodes)
        nodes -= len(search["nodes"]["parent"])
        room -= len(sequences)
        searches.append(search)
    data: dict[str, Any] = {"version": 1, "kind": "beam", "searches": searches}
    if omitted := sum(len(output.sequences) for output in outputs) - (MAX_SEQUENCES - room):
        data["omitted"] = omitted
    return data


def _search(
    prompt: str, output: BeamSearchOutput, sequences: list[BeamSearchSequence], room: int
) -> dict[str, Any]:
    history, best = output.history, output.sequences[0].generated_token_ids
    tree = Tree(history, room)
    entries = [
        _sequence(history, rank, s, best, tree.path(history.path(h)))
        for rank, (s, h) in enumerate(zip(sequences, history.hypotheses, strict=False), 1)
    ]
    lived = list(_lived(history)) if history.num_steps else []
    tree.add_all(lived)
    tree.add_all(_pruned(history))
    return {
        "prompt": prompt,
        "finished": output.finished,
        "beam_width": history.params.beam_width,
        "num_steps": history.num_steps,
        "num_candidates": int((history.totals > -np.inf).sum()) if history.num_steps else 0,
        "sequences": entries,
        "nodes": tree.columns(history),
        "omitted_nodes": sum(place not in tree.index for place in lived),
    }


def _sequence(
    history: History, rank: int, s: BeamSearchSequence, best: list[int], nodes: list[int] | None
) -> dict[str, Any]:
    ids = s.generated_token_ids
    pairs = zip(best, ids, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(best), len(ids)))
    entry = {
        "rank": rank,
        "text": s.generated_text,
        "score": rounded(s.score),
        "cumulative_logprob": rounded(s.cum_logprob),
        "num_tokens": len(ids),
        "finish_reason": s.finish_reason,
        "diverges_at": None if rank == 1 else same,
    }
    if nodes is not None:
        entry["nodes"] = nodes
        entry["hidden"] = len(history.decode(ids)) - len(s.generated_text)
    return entry


def _lived(history: History) -> Iterator[Place]:
    """Every candidate that became a beam, or completed a sequence; step after step."""
    width = history.tokens.shape[2]
    for step in range(history.num_steps):
        for kept in history.kept[step][history.scores[step + 1] > -np.inf].tolist():
            yield step, kept // width, kept % width
        for beam, rank in np.argwhere(history.completed[step]).tolist():
            yield step, beam, rank


def _pruned(history: History) -> Iterator[Place]:
    """The likeliest candidates of every beam; first of those that led to a result."""
    returned = [
        (step, beam) for h in history.hypotheses for step, (beam, _) in enumerate(history.path(h))
    ]
    every = [
        (step, int(beam))
        for step in range(history.num_steps)
        for beam in np.flatnonzero(history.scores[step] > -np.inf)
    ]
    for step, beam in dict.fromkeys([*returned, *every]):
        for rank in range(min(MAX_PRUNED, history.tokens.shape[2])):
            if history.logprobs[step, beam, rank] > -np.inf:
                yield step, beam, rank


class Tree:
    """Candidates of a search, each after the one that it continues. room: how many there may be."""

    def __init__(self, history: History, room: int):
        self.history, self.room = history, room
        self.index: dict[Place, int] = {}
        self.parent: list[int] = []
        self.text: list[str] = []
        self.special: list[int] = []
        # of each node: the tokens that the next one's text depends on, and those of half a character
        self._before: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self._root = (tuple(history.prompt_ids[-2:]), ())

    def path(self, places: list[tuple[int, int]]) -> list[int] | None:
        """Add a whole sequence, given as (beam, rank) of every step; None if there is no room."""
        steps = [(step, beam, rank) for step, (beam, rank) in enumerate(places)]
        if sum(place not in self.index for place in steps) > self.room - len(self.index):
            return None
        return [self.add(place) for place in steps]

    def add_all(self, places: Iterator[Place] | list[Place]) -> None:
        """Add what there is room for; what would continue something left out is left out, too."""
        for place in places:
            if len(self.index) >= self.room:
                return
            if (before := self._previous(place)) is None or before in self.index:
                self.add(place)

    def add(self, place: Place) -> int:
        """The node of a candidate whose predecessor is there."""
        if place not in self.index:
            before = self._previous(place)
            parent = -1 if before is None else self.index[before]
            self.index[place] = len(self.parent)
            self.parent.append(parent)
            self._spell(place, self._root if parent < 0 else self._before[parent])
        return self.index[place]

    def columns(self, history: History) -> dict[str, list[Any]]:
        """The "nodes" of the dictionary."""
        if not self.index:
            return {n: [] for n in ("parent", "text", "logprob", "rank", "state", "special")}
        at = tuple(np.array([*self.index]).T)
        return {
            "parent": self.parent,
            "text": self.text,
            "logprob": [rounded(float(p)) for p in history.logprobs[at]],
            "rank": _ranks(history)[at].tolist(),
            "state": [STATES[code] for code in _states(history)[at]],
            "special": self.special,
        }

    def _previous(self, place: Place) -> Place | None:
        step, beam, _ = place
        if not step:
            return None
        before, rank = divmod(int(self.history.kept[step - 1, beam]), self.history.tokens.shape[2])
        return step - 1, before, rank

    def _spell(self, place: Place, before: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        """Note the text that a token adds: none while a character is not complete."""
        decode, token = self.history.decode, int(self.history.tokens[place])
        context, pending = before
        if not decode([token]) and (spelled := self.history.spell(token)):
            self.special.append(len(self.text))
            self.text.append(spelled)
            self._before.append(before)
            return
        pending = (*pending, token)
        text = decode([*context, *pending])
        # a character has four bytes at most; what is not complete then never will be
        whole = not text.endswith("\ufffd") or len(pending) > 3
        self.text.append(text[len(decode(context)) :] if whole else "")
        self._before.append((pending, ()) if whole else (context, pending))


def _ranks(history: History) -> np.ndarray:
    """Of every candidate among all of its step, from 1 [S, W, C]."""
    flat = history.totals.reshape(history.num_steps, -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, flat.shape[1] + 1)[None], axis=1)
    return ranks.reshape(history.totals.shape)


def _states(history: History) -> np.ndarray:
    """Of every candidate its index in `STATES` [S, W, C]."""
    codes = np.zeros(history.tokens.shape, np.int8)
    codes[tuple(np.array([*_lived(history)]).T)] = 1
    codes[history.completed] = 2
    ends = [(h.step - 1, h.beam, h.rank) for h in history.hypotheses if h.step]
    codes[tuple(np.array(ends).T)] = 3
    return codes
