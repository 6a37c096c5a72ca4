"""What is refused before anybody reads it: foreign hosts, missing keys, too many. Counts the answers."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .limits import Room

OPEN = {"/health", "/metrics", "/openapi.json"}
"""Paths that need no key."""


class Guard:
    """An ASGI application around another.

    hosts: names under which the server may be spoken to, empty for any: a page whose own name has
    been made to point to this machine comes with that name. keys: one of these has to be sent. room:
    for requests; only `OPEN` paths need none.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], keys: Iterable[str], room: Room):
        self._app, self._hosts = app, frozenset(host.lower() for host in hosts)
        self._room = room
        self._keys = [_digest(key.encode()) for key in keys]
        self.counts: Counter[int] = Counter()  # answers, by status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.counts[message["status"]] += 1
            await send(message)

        try:
            self._check(scope)
            with nullcontext() if scope["path"] in OPEN else self._room.reserve(1):
                await self._app(scope, receive, counted)
        except ApiError as error:
            response = JSONResponse(error.body(), error.status, error.headers)
            await response(scope, receive, counted)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = _name(headers.get("host", ""))
        if self._hosts and host not in self._hosts:
            raise ApiError(
                403,
                f"this server does not answer to the name {host!r}; --allowed-host {host or 'NAME'} "
                "lets it",
                code="host_not_allowed",
            )
        if scope["path"] in OPEN or self._known(headers.get("authorization", "")):
            return
        said = "is not the right one" if "authorization" in headers else "is missing"
        raise ApiError(
            401,
            f"the API key {said}: send it as 'Authorization: Bearer KEY'",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _known(self, header: str) -> bool:
        """Whether a key was sent that is known; takes as long for every wrong one."""
        if not self._keys:
            return True
        scheme, _, key = header.partition(" ")
        sent = _digest(key.strip().encode("latin-1"))
        right = [hmac.compare_digest(sent, known) for known in self._keys]
        return any(right) and scheme.lower() == "bearer"


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _digest(key: bytes) -> bytes:
    # of one length whatever the key, so that its length takes no time either
    return hashlib.sha256(key).digest()
