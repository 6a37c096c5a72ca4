"""Clients of a server, and what to look for behind it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import openai


def connect(server, api_key: str = "-") -> openai.OpenAI:
    """The official client; it does not try again."""
    return openai.OpenAI(base_url=server.url, api_key=api_key, max_retries=0, timeout=60)


def soon(what, seconds: float = 10) -> bool:
    """Whether `what()` becomes true within a moment."""
    end = time.monotonic() + seconds
    while not (true := what()) and time.monotonic() < end:
        time.sleep(0.005)
    return true


def idle(llm) -> bool:
    """Whether nothing runs and every page is free."""
    info = llm.info()
    return not llm.engine.busy and info.num_free_pages == info.num_pages


class Stream:
    """One streamed completion, as bytes on a socket: many of them share a core with what they test."""

    def __init__(self, host: str, port: int, body: dict, path: str = "/v1/completions"):
        self.host, self.port, self.path = host, port, path
        self.body = json.dumps({"stream": True, **body}).encode()

    async def __aenter__(self) -> Stream:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + self.body)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()

    async def events(self) -> AsyncIterator[dict]:
        """The events, as they come; after the last one `done` says whether it was [DONE]."""
        self.done = False
        status = await self.reader.readline()
        assert b" 200 " in status, status + await self.reader.read()
        while line := await self.reader.readline():
            if line.startswith(b"data: "):
                if line.startswith(b"data: [DONE]"):
                    self.done = True
                    return
                yield json.loads(line[6:])

    def hang_up(self) -> None:
        """As a client that is killed: the connection is reset."""
        self.writer.transport.abort()
