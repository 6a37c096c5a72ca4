"""The application: which path is answered by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...errors import NbllmError
from .chat import ChatCompletions
from .completions import Completions
from .errors import ApiError, refusal
from .generation import Desk
from .guard import Guard
from .limits import Limits, Room
from .models import Models
from .openapi import document
from .tokenizing import Tokenizing
from .waiters import DisconnectedError

POOL = 4
"""Threads that render, tokenise and compile grammars."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the server behaves.

    api_keys: one of them has to be sent; empty: none. allowed_hosts: names it answers to; empty: any.
    trust_templates: requests may bring chat templates, which are programs: they run in a sandbox, but
    as long as they like.
    """

    api_keys: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    trust_templates: bool = False


class App:
    """The ASGI application over the resident models. It lives on one event loop."""

    def __init__(self, options: Options):
        self._pool = ThreadPoolExecutor(POOL, thread_name_prefix="nbllm-intake")
        self._desk = Desk(
            models=Models(),
            limits=options.limits,
            room=Room(options.limits.max_queue, "completions run or wait"),
            pool=self._pool,
            trust_templates=options.trust_templates,
        )
        inner = Starlette(
            routes=_routes(self._desk),
            lifespan=self._lifespan,
            exception_handlers={
                ApiError: _refused,
                NbllmError: _refused,
                HTTPException: _missing,
                DisconnectedError: _nobody,
                Exception: _refused,
            },
        )
        inner.router.redirect_slashes = False  # another path is another path
        self._guard = Guard(
            inner,
            hosts=options.allowed_hosts,
            keys=options.api_keys,
            room=Room(options.limits.max_requests, "requests are being answered"),
        )
        inner.state.answers = self._guard.counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(scope, receive, send)

    def abort(self) -> None:
        """End every request under way, with an error for its client; nothing runs afterwards."""
        self._desk.models.close()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.abort()
        self._pool.shutdown(cancel_futures=True)


def _routes(desk: Desk) -> list[Route]:
    tokenizing = Tokenizing(desk)

    async def models(request: Request) -> Response:
        cards = [served.card() for served in desk.models.all()]
        return JSONResponse({"object": "list", "data": cards})

    async def model(request: Request) -> Response:
        return JSONResponse(desk.models.find(request.path_params["model"]).card())

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(request: Request) -> Response:
        from .metrics import Metrics

        found = Metrics(desk.models.all(), desk.room, request.app.state.answers)
        text, kind = found.text()
        return Response(text, media_type=kind)

    async def openapi(request: Request) -> Response:
        return JSONResponse(document())

    return [
        Route("/v1/completions", Completions(desk), methods=["POST"]),
        Route("/v1/chat/completions", ChatCompletions(desk), methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{model:path}", model),
        Route("/tokenize", tokenizing.tokenize, methods=["POST"]),
        Route("/detokenize", tokenizing.detokenize, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
    ]


def _answer(error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    return _answer(refusal(error))


async def _missing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers, path = error.headers or {}, request.url.path
    if error.status_code == 405:
        message = f"{path} takes {headers.get('Allow', 'another method')}, not {request.method}"
    else:
        message = f"there is nothing at {path}" if error.status_code == 404 else error.detail
    return _answer(ApiError(error.status_code, message, headers=headers))


async def _nobody(request: Request, error: Exception) -> Response:
    # the client has gone: this is read by nobody
    return Response(status_code=499)
