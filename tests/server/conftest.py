"""A server over the bundled model, official clients of it, and a look for leaks after every test."""

import asyncio

import openai
import pytest
from clients import connect, idle, soon


@pytest.fixture(scope="session")
def llm():
    """The bundled model, resident."""
    from nbllm import resident

    llm = resident.load("tiny", name="tiny", kv_cache_memory_bytes=256 << 20)
    yield llm
    resident.unload("tiny")


@pytest.fixture(scope="session")
def server(llm):
    from nbllm.entrypoints.openai import Server

    with Server(port=0) as server:
        yield server


@pytest.fixture(scope="session")
def client(server):
    with connect(server) as client:
        yield client


@pytest.fixture(scope="session")
def trusting(llm):
    """A client of a server that takes templates from requests."""
    from nbllm.entrypoints.openai import Options, Server

    with (
        Server(port=0, options=Options(trust_templates=True)) as server,
        connect(server) as client,
    ):
        yield client


@pytest.fixture
def aclient(server):
    """Run a coroutine function on a client of a loop of its own; what it returns."""

    def run(work):
        async def alone():
            options = {"api_key": "-", "max_retries": 0, "timeout": 60}
            async with openai.AsyncOpenAI(base_url=server.url, **options) as client:
                return await work(client)

        return asyncio.run(alone())

    return run


@pytest.fixture
def serve(llm):
    """A server of a test's own: serve(limits=…, api_keys=…, host=…)."""
    from nbllm.entrypoints.openai import Options, Server

    started = []

    def serve(host="127.0.0.1", **options):
        started.append(Server(host, 0, Options(**options)).start())
        return started[-1]

    yield serve
    for server in started:
        server.stop()


@pytest.fixture(autouse=True)
def _no_leaks(request):
    yield
    if "llm" in request.fixturenames:
        llm = request.getfixturevalue("llm")
        assert soon(lambda: idle(llm)), (llm.info(), llm.engine.live)
    if "server" in request.fixturenames:
        room = request.getfixturevalue("server")._app._desk.room
        assert soon(lambda: room.taken == 0), room.taken
