"""A run over a frame that was interrupted goes on where it was, when its cell is run again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ..outputs import RequestOutput
from ..results.provenance import plain

if TYPE_CHECKING:
    from ..outputs import ModelInfo
    from ..results.work import Work


def identity(work: Work, info: ModelInfo) -> dict[str, Any]:
    """All that has to be equal for outputs of one run to belong to another; before seeds are drawn."""
    return {
        "kind": work.kind,
        "model": info.fingerprint,
        "dtype": info.dtype,
        **({"chat_template": info.chat_template_hash} if work.kind == "chat" else {}),
        **work.chat,
        "settings": list(work.settings),
        **plain(work.params),
    }


def key(work: Work, place: int) -> str:
    """Of what is sent: a row whose prompt has changed is done again."""
    i = place // len(work.settings)
    said = json.dumps([work.requests[i], work.tails.get(i)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Finished:
    """Outputs by place, each with the key of what was sent. seed: the one that the run has drawn."""

    def __init__(self, identity: dict[str, Any]):
        self.identity, self.seed = identity, None
        self.rows: dict[int, tuple[str, RequestOutput]] = {}

    seed: int | None

    def begin(self, seed: int | None) -> None:
        """The run begins, or goes on, with this seed."""
        self.seed = seed

    def find(self, work: Work) -> dict[int, RequestOutput]:
        """What is done of `work` already."""
        return {
            place: output
            for place, (sent, output) in self.rows.items()
            if place < len(work) and sent == key(work, place)
        }

    def add(self, work: Work, place: int, output: RequestOutput) -> None:
        """`output` has finished."""
        self.rows[place] = (key(work, place), output)

    def close(self) -> None:
        """Nothing follows."""
