"""A run over a frame that was interrupted goes on where it was, when its cell is run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..results.provenance import plain

if TYPE_CHECKING:
    from ..outputs import ModelInfo
    from ..results.work import Work


def identity(work: Work, info: ModelInfo) -> dict[str, Any]:
    """All that has to be equal for outputs of one run to belong to another; before seeds are drawn."""
    template = {"chat_template": info.chat_template_hash} if work.kind == "chat" else {}
    more = {**template, **work.chat, "settings": list(work.settings), **plain(work.params)}
    return of_model(work.kind, info, more)


def of_model(kind: str, info: ModelInfo, more: Mapping[str, Any]) -> dict[str, Any]:
    """The same of what has no `Work`: what is done, by which model, and how."""
    return {"kind": kind, "model": info.fingerprint, "dtype": info.dtype, **more}


def key(work: Work, place: int) -> str:
    """Of what is sent: a row whose prompt has changed is done again."""
    i = place // len(work.settings)
    return digest([work.requests[i], work.tails.get(i)])


def digest(sent: Any) -> str:
    """A short name of what JSON can hold."""
    said = json.dumps(sent, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Finished:
    """Outputs by place, each with the key of what was sent. seed: the one that the run has drawn."""

    def __init__(self, identity: dict[str, Any]):
        self.identity, self.seed = identity, None
        self.rows: dict[int, tuple[str, Any]] = {}

    seed: int | None

    def begin(self, seed: int | None = None) -> None:
        """The run begins, or goes on, with this seed."""
        self.seed = seed

    def find(self, total: int, key: Callable[[int], str]) -> dict[int, Any]:
        """What is done already of a run of `total` places. key: of what would be sent for a place."""
        return {
            place: output
            for place, (sent, output) in self.rows.items()
            if place < total and sent == key(place)
        }

    def add(self, place: int, sent: str, output: Any) -> None:
        """`output` has finished."""
        self.rows[place] = (sent, output)

    def close(self) -> None:
        """Nothing follows."""
