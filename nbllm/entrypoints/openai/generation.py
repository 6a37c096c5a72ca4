"""What completions and chat completions do alike: read, prepare, run, and answer."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...engine.beam_job import BeamJob
from ...engine.job import Job
from ...errors import OutOfMemoryError
from .answers import Answer, Choices
from .body import read
from .errors import ApiError
from .limits import Limits, Room
from .models import Models, Served
from .params import stream_options
from .schemas import GenerationRequest
from .waiters import DisconnectedError, Run


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the endpoints share. pool: threads for what would hold up the event loop."""

    models: Models
    limits: Limits
    room: Room
    pool: Executor
    trust_templates: bool

    async def aside(self, work: Callable[..., Any], *args: Any) -> Any:
        """What `work` gives, made on a thread of the pool."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *args)
        except OutOfMemoryError as error:
            # it would not fit even alone, however often it is tried
            raise ApiError(400, str(error), code="out_of_memory") from None


class Generation(ABC):
    """An endpoint, as an ASGI application."""

    schema: ClassVar[type[GenerationRequest]]
    kind: ClassVar[str]
    chunk_kind: ClassVar[str]
    prefix: ClassVar[str]

    def __init__(self, desk: Desk):
        self.desk = desk

    @abstractmethod
    def num_prompts(self, asked: Any) -> int:
        """How many prompts a request has."""

    @abstractmethod
    def prepare(self, asked: Any, served: Served) -> tuple[Sequence[Job | BeamJob], Choices]:
        """What is to run, and who writes it down. On a thread of the pool: it may take a while."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(DisconnectedError):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, desk = Request(scope, receive), self.desk
        asked = await read(request, self.schema, desk.limits.max_body_bytes)
        options, served = stream_options(asked), desk.models.find(asked.model)
        count = desk.limits.check_batch(self.num_prompts(asked), asked.n or 1)
        with desk.room.reserve(count):
            jobs, choices = await desk.aside(self.prepare, asked, served)
            answer = Answer(self._head(asked, served), choices)
            async with Run(served.waiters, jobs, receive) as run:
                if options is not None:
                    await answer.stream(run, send, options)
                    return
                await run.wait(lambda: run.finished)
            # with log-probabilities it may be long
            body = await desk.aside(answer.whole)
        await Response(body, media_type="application/json")(scope, receive, send)

    def _head(self, asked: GenerationRequest, served: Served) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{asked.request_id or uuid4().hex}",
            "object": self.chunk_kind if asked.stream else self.kind,
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": served.fingerprint,
        }
