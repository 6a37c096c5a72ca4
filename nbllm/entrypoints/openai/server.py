"""The server: in the foreground of a shell, or on a thread beside a notebook's cells."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import replace
from threading import Thread
from types import TracebackType

import uvicorn

from ...errors import ParamError
from .app import App, Options

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of a machine for itself."""
PATIENCE = 5.0
"""Seconds that requests under way get to finish when a server in the foreground is told to end."""
BACKSTOP = 30
KEEP_ALIVE = 75


class Server:
    """Serves the resident models, whichever they are, to OpenAI's clients.

    host: loopback unless told otherwise; port: 0 takes one that is free. options: see `Options`;
    without allowed_hosts a server on loopback answers to loopback's names alone, any other to all.
    Raises `ParamError` where it cannot listen: the port is taken here, not when it runs.

    `with Server(port=0) as server: server.url`
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8000, options: Options | None = None):
        options = options or Options()
        if not options.allowed_hosts and is_loopback(host):
            options = replace(options, allowed_hosts=LOOPBACK)
        self.options, self._socket = options, _listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self._app, self._thread = App(options), None
        self._uvicorn = _Uvicorn(self._app)

    _thread: Thread | None

    @property
    def url(self) -> str:
        """What clients take as base_url."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    @property
    def running(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; requests under way get some seconds to finish."""
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def start(self) -> Server:
        """Serve on a thread of its own."""
        self._uvicorn.patience = 0
        self._thread = Thread(target=self.run, name="nbllm-server", daemon=True)
        self._thread.start()
        while not self._uvicorn.started and self._thread.is_alive():
            self._thread.join(0.01)
        return self

    def stop(self) -> None:
        """End the thread; what runs is aborted. Stopping twice is no error."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {self.url} ({'running' if self.running else 'stopped'})>"


class _Uvicorn(uvicorn.Server):
    """uvicorn, which ends what runs by itself before it has to cancel it."""

    def __init__(self, app: App):
        config = uvicorn.Config(
            app,
            # logging belongs to whoever runs the process
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            proxy_headers=False,
            # longer than clients keep theirs: none sends into a connection that is being closed
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=BACKSTOP,
        )
        super().__init__(config)
        self._app, self.patience = app, PATIENCE

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(self.patience, self._app.abort)
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        if not 0 <= port < 2**16:
            raise OSError(f"a port is a number from 0 to {2**16 - 1}")
        [(family, kind, proto, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        found = socket.socket(family, kind, proto)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(address)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise ParamError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; --port chooses "
            "another, 0 any that is free"
        ) from None
    return found
