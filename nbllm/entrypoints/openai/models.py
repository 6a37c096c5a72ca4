"""Which model answers: the resident ones, by name."""

from __future__ import annotations

import time
from typing import Any

from ... import resident
from ...errors import NoModelError
from ...llm import LLM
from .errors import ApiError
from .waiters import Waiters


class Served:
    """A resident model, and who waits for it on this event loop."""

    def __init__(self, name: str, llm: LLM):
        self.name, self.llm, self.created = name, llm, int(time.time())
        self.fingerprint = llm.info().fingerprint
        self.waiters = Waiters(llm.engine)

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
        loaded = resident.loaded()
        for name, served in list(self._served.items()):
            if loaded.get(name) is not served.llm:
                self._served.pop(name).waiters.close()
        return [self._of(name, llm) for name, llm in loaded.items()]

    def find(self, name: str | None) -> Served:
        """The model of this name, or the current one. Raises 404, and 503 if there is none at all."""
        known = {served.name: served for served in self.all()}
        try:
            llm = resident.current(name)
        except NoModelError:
            if not known:
                raise ApiError(503, "no model is loaded", code="no_model") from None
            names = ", ".join(map(repr, known))
            message = f"there is no model {name!r} here, but {names}"
            raise ApiError(404, message, param="model", code="model_not_found") from None
        return next(served for served in known.values() if served.llm is llm)

    def close(self) -> None:
        """Abort everything that runs, for good."""
        self._closed = True
        while self._served:
            self._served.popitem()[1].waiters.close()

    def _of(self, name: str, llm: LLM) -> Served:
        if name not in self._served:
            self._served[name] = Served(name, llm)
        return self._served[name]
