"""Whoever goes is aborted, and gives everything back; whoever is slow waits for themselves alone."""

import asyncio
import json
import socket

import httpx
import openai
import pytest
from clients import Stream, connect, idle, soon

from nbllm import SamplingParams
from nbllm.entrypoints.openai import Limits, Options
from nbllm.entrypoints.openai.app import App

LONG = {"model": "tiny", "prompt": "Once upon a time", "max_tokens": 2000, "ignore_eos": True}


def begin(server, body, path="/v1/completions"):
    """A connection whose request has been sent, and nothing read."""
    data = json.dumps(body).encode()
    connection = socket.create_connection((server.host, server.port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data)
    return connection


@pytest.mark.parametrize("stream", [False, True])
def test_disconnect(server, llm, stream):
    """Before its end a request that nobody waits for any more is gone, with its pages."""
    connection = begin(server, {**LONG, "stream": stream})
    assert soon(lambda: llm.info().num_running == 1)
    connection.close()
    assert soon(lambda: idle(llm), 5)
    assert soon(lambda: server._app._desk.room.taken == 0)


def test_disconnect_of_many(server, llm):
    body = {**LONG, "prompt": ["a", "b c", "d e f"], "n": 4, "temperature": 1}
    connection = begin(server, body)
    assert soon(lambda: llm.info().num_running == 12)
    connection.close()
    assert soon(lambda: idle(llm), 5)


def test_disconnect_of_a_beam_search(server, llm):
    body = {**LONG, "use_beam_search": True, "n": 4, "max_tokens": 1000}
    connection = begin(server, body)
    assert soon(lambda: llm.engine.busy)
    connection.close()
    assert soon(lambda: idle(llm), 5)


def test_disconnect_of_a_conversation(server, llm):
    body = {"messages": [{"role": "user", "content": "hi"}], "min_tokens": 1900, "stream": True}
    connection = begin(server, body, "/v1/chat/completions")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    connection.close()
    assert soon(lambda: idle(llm), 5)


def test_the_client_that_leaves_its_stream(client, llm):
    stream = client.completions.create(
        model="tiny", prompt="a", max_tokens=2000, stream=True, extra_body={"ignore_eos": True}
    )
    assert next(iter(stream)).choices
    stream.close()
    assert soon(lambda: idle(llm), 5)


def test_a_slow_reader(llm):
    """What it has not taken waits in its request, and in no queue; then it comes in one piece."""
    body = {"prompt": "a", "max_tokens": 80, "ignore_eos": True, "temperature": 0, "stream": True}
    taken = []

    async def send(message):
        taken.append(message.get("body", b""))
        await asyncio.sleep(0.1)

    async def ask():
        app, said = App(Options()), [{"type": "http.request", "body": json.dumps(body).encode()}]

        async def receive():
            return said.pop() if said else await asyncio.Event().wait()

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": headers}
        await app({**scope, "query_string": b""}, receive, send)
        app.abort()

    asyncio.run(ask())
    events = [line[6:] for line in b"".join(taken).decode().splitlines() if line[6:7] == "{"]
    text = "".join(json.loads(event)["choices"][0]["text"] for event in events)
    params = SamplingParams(max_tokens=80, ignore_eos=True, temperature=0)
    assert text == llm.generate("a", params, use_tqdm=False)[0].outputs[0].text
    assert len(events) < 40


def test_half_closed(server, llm):
    """A client that has said all it will say is gone, as HTTP/1.1 has no other sign of that."""
    connection = begin(server, {**LONG, "stream": True})
    assert connection.recv(64)
    connection.shutdown(socket.SHUT_WR)
    assert soon(lambda: idle(llm), 10)
    connection.close()


def test_body_that_never_comes(server, client):
    """It holds a connection and nothing else."""
    with socket.create_connection((server.host, server.port)) as connection:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
        assert client.models.list().data
        assert server._app._desk.room.taken == 0


def test_full_queue(serve, llm):
    """503 with Retry-After, at once; room again when somebody has left."""
    server = serve(limits=Limits(max_batch=4, max_queue=4))
    busy = begin(server, {**LONG, "n": 4, "temperature": 1, "stream": True})
    assert soon(lambda: llm.info().num_running == 4)
    response = httpx.post(server.url + "/completions", json={"prompt": "a"})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "overloaded"
    assert "4 of 4 completions run or wait" in response.json()["error"]["message"]
    with connect(server) as client, pytest.raises(openai.InternalServerError):
        client.completions.create(model="tiny", prompt="a", stream=True)
    assert httpx.get(server.url + "/models").status_code == 200
    busy.close()
    assert soon(lambda: idle(llm), 5)
    with connect(server) as client:
        assert client.completions.create(model="tiny", prompt="a", n=4, max_tokens=1).choices


def test_the_client_comes_again(serve, llm):
    """OpenAI's client waits as it was told, and then gets its answer."""
    server = serve(limits=Limits(max_batch=1, max_queue=1))
    busy = begin(server, {**LONG, "stream": True})
    assert soon(lambda: llm.info().num_running == 1)

    async def both():
        options = {"base_url": server.url, "api_key": "-", "max_retries": 3, "timeout": 30}
        async with openai.AsyncOpenAI(**options) as client:
            asked = asyncio.create_task(
                client.completions.create(model="tiny", prompt="a", max_tokens=1)
            )
            await asyncio.sleep(0.3)
            busy.close()
            return await asked

    assert asyncio.run(both()).usage.completion_tokens == 1


def test_tokens_of_a_step_come_together(server, llm, monkeypatch):
    """One wake-up of the loop for a step, however many streams there are; see `Waiters`."""
    served = server._app._desk.models.find("tiny")
    calls, loop = [], served.waiters._loop
    inner = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *a: calls.append(a) or inner(*a))

    async def one(i):
        body = {"prompt": f"Number {i}", "max_tokens": 40, "ignore_eos": True}
        async with Stream(server.host, server.port, body) as stream:
            return [event async for event in stream.events()]

    async def many():
        return await asyncio.gather(*(one(i) for i in range(16)))

    steps = llm.engine.stats.num_steps
    found = asyncio.run(many())
    steps = llm.engine.stats.num_steps - steps
    looks = [a for a in calls if a[0] == served.waiters._look]
    assert len(looks) <= steps + 2 * len(found)
    assert sum(map(len, found)) > 3 * len(looks)
