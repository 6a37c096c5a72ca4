"""Which model answers: the resident ones, by name."""

from __future__ import annotations

import time
from typing import Any

from ... import resident
from ...engine.beam_job import BeamCompletions, BeamJob
from ...engine.job import Job
from ...llm import LLM
from ...prompts import Prompt
from .errors import ApiError
from .params import Params
from .waiters import Waiters


class Served:
    """A resident model, and who waits for it on this event loop."""

    def __init__(self, name: str, llm: LLM):
        self.name, self.llm, self.created = name, llm, int(time.time())
        self.fingerprint = llm.info().fingerprint
        self.waiters = Waiters(llm.engine)

    def prepare(
        self, prompts: list[Prompt], params: Params, priority: int | None
    ) -> list[Job | BeamJob]:
        """A job for each prompt: everything checked, nothing begun."""
        jobs = self.llm.prepare(prompts, params, priority=priority)
        return [job.as_search() if isinstance(job, BeamCompletions) else job for job in jobs]

    def card(self) -> dict[str, Any]:
        """OpenAI's object, with vLLM's max_model_len and root."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "nbllm",
            "root": self.llm.name,
            "parent": None,
            "max_model_len": self.llm.max_model_len,
        }


class Models:
    """The models that `nbllm.load` and `%nbllm load` have made resident; looked up at every request."""

    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        self._closed = False

    def all(self) -> list[Served]:
        """Every model, in the order they were loaded."""
        if self._closed:
            raise ApiError(503, "the server is about to end", code="shutting_down")
        loaded = {name: llm for name, llm in resident.loaded().items() if not llm.closed}
        for name, served in list(self._served.items()):
            if loaded.get(name) is not served.llm:
                self._served.pop(name).waiters.close()
        return [self._of(name, llm) for name, llm in loaded.items()]

    def find(self, name: str | None) -> Served:
        """The model of this name, or the current one. Raises 404, and 503 if there is none at all."""
        known = {served.name: served for served in self.all()}
        if not known:
            raise ApiError(503, "no model is loaded", code="no_model")
        if name is None:
            current = resident.current()
            return next((s for s in known.values() if s.llm is current), next(iter(known.values())))
        if name not in known:
            names = ", ".join(map(repr, known))
            message = f"there is no model {name!r} here, but {names}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return known[name]

    def close(self) -> None:
        """Abort everything that runs, for good."""
        self._closed = True
        while self._served:
            self._served.popitem()[1].waiters.close()

    def _of(self, name: str, llm: LLM) -> Served:
        if name not in self._served:
            self._served[name] = Served(name, llm)
        return self._served[name]
