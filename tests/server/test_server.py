"""The server's life: on a thread, beside cells, with models that come and go."""

import asyncio
import json
import socket
import threading
import time
from contextlib import closing

import httpx
import openai
import pytest
from clients import Stream, connect, soon

from nbllm import LLM, SamplingParams, resident
from nbllm.entrypoints.openai import Server
from nbllm.errors import ParamError

LONG = {"prompt": "Once upon a time", "max_tokens": 1900, "ignore_eos": True}


def threads():
    return {t.name for t in threading.enumerate()}


def pumps():
    return [t.name for t in threading.enumerate()].count("nbllm-pump")


def test_starts_and_ends(llm):
    before = threads()
    server = Server(port=0)
    assert not server.running
    with server:
        assert server.running
        assert httpx.get(server.url + "/models").status_code == 200
        assert "nbllm-server" in threads()
    assert not server.running
    assert soon(lambda: threads() <= before), threads() - before
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/models")


def test_the_same_port_again(llm):
    with Server(port=0) as first:
        port = first.port
        assert httpx.get(first.url + "/models").status_code == 200
    with Server(port=port) as second:
        assert httpx.get(second.url + "/models").status_code == 200


def test_a_port_that_is_taken():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ParamError, match=f"cannot listen on 127.0.0.1, port {port}: .*--port"):
            Server(port=port)
    for port in (-1, 70000):
        with pytest.raises(ParamError, match="a port is a number from 0 to 65535"):
            Server(port=port)
    with pytest.raises(ParamError, match=r"cannot listen on no\.such"):
        Server("no.such.host.invalid", 0)


def test_stop_ends_streams_with_an_error(llm):
    """Nobody is left waiting: a stream ends with an event that says why."""
    server = Server(port=0).start()
    found = []

    async def read():
        async with Stream(server.host, server.port, LONG) as stream:
            async for event in stream.events():
                found.append(event)
            return stream.done

    reading = threading.Thread(target=lambda: found.append(asyncio.run(read())))
    reading.start()
    assert soon(lambda: len(found) > 2)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 8
    reading.join(10)
    *_, error, done = found
    assert error["error"]["code"] == "model_unloaded"
    assert done is True


def test_stop_answers_those_who_wait(llm):
    server = Server(port=0).start()
    found = []
    ask = lambda: found.append(httpx.post(server.url + "/completions", json=LONG, timeout=30))  # noqa: E731
    asking = threading.Thread(target=ask)
    asking.start()
    assert soon(lambda: llm.info().num_running == 1)
    server.stop()
    asking.join(10)
    assert found[0].status_code == 503
    assert found[0].json()["error"]["code"] == "model_unloaded"


def test_logging_and_signals_stay_as_they_are(llm):
    import logging
    import signal

    before = logging.root.level, list(logging.root.handlers), signal.getsignal(signal.SIGINT)
    with Server(port=0) as server:
        httpx.get(server.url + "/models")
        now = logging.root.level, list(logging.root.handlers), signal.getsignal(signal.SIGINT)
        assert now == before
        assert not logging.getLogger("uvicorn").handlers


def test_models_come_and_go(server, client, llama):
    client.completions.create(model="tiny", prompt="a", max_tokens=1)
    other, before = LLM(llama[0]), pumps()
    resident.load(other, name="other")
    try:
        assert [m.id for m in client.models.list()] == ["tiny", "other"]
        prompt = [1, 2, 3]
        made = client.completions.create(model="other", prompt=prompt, temperature=0, max_tokens=4)
        [wanted] = other.generate(
            [prompt], SamplingParams(temperature=0, max_tokens=4), use_tqdm=False
        )
        assert made.choices[0].text == wanted.outputs[0].text
        # without a name the current one answers
        for name in ("other", "tiny"):
            resident.use(name)
            response = httpx.post(
                server.url + "/completions", json={"prompt": [1], "max_tokens": 1}
            )
            assert response.json()["model"] == name
    finally:
        resident.unload("other")
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="other", prompt=[1])
    assert soon(lambda: pumps() == before)


def test_a_model_that_is_unloaded_in_the_middle(server, llama):
    """Its streams end with an error; other models' go on."""
    resident.load(LLM(llama[0]), name="going")

    async def read():
        body = {"model": "going", "prompt": [1, 2], "max_tokens": 250, "ignore_eos": True}
        events = []
        async with Stream(server.host, server.port, body) as stream:
            async for event in stream.events():
                if not events:
                    await asyncio.to_thread(resident.unload, "going")
                events.append(event)
        return events

    *_, last = asyncio.run(read())
    assert last["error"]["code"] == "model_unloaded"
    resident.use("tiny")


def test_without_a_model(monkeypatch):
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
    with Server(port=0) as server:
        assert httpx.get(server.url + "/models").json() == {"object": "list", "data": []}
        response = httpx.post(server.url + "/completions", json={"prompt": "a"})
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "no_model"
        base = server.url.removesuffix("/v1")
        assert httpx.get(base + "/health").status_code == 200
        assert httpx.get(base + "/metrics").status_code == 200


def test_a_model_that_was_closed_behind_our_back(server, client, llama):
    """`llm.close()` leaves its name among the resident ones; it is not there for clients."""
    other = LLM(llama[0])
    resident.load(other, name="closed")
    other.close()
    assert [m.id for m in client.models.list()] == ["tiny"]
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="closed", prompt=[1])
    # the current one, without a name, is another then
    response = httpx.post(server.url + "/completions", json={"prompt": [1], "max_tokens": 1})
    assert response.json()["model"] == "tiny"
    assert httpx.get(server.url.replace("/v1", "/metrics")).status_code == 200
    resident.unload("closed")
    resident.use("tiny")


def test_cells_and_clients_share_the_model(server, llm):
    """Both make progress: a cell's text is what it always is, and so are the streams'."""
    params = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
    [alone] = llm.generate("Once upon a time", params, use_tqdm=False)
    bodies = [
        {"prompt": f"Number {i} and", "temperature": 0, "max_tokens": 60, "ignore_eos": True}
        for i in range(8)
    ]

    async def one(body):
        async with Stream(server.host, server.port, body) as stream:
            return "".join([e["choices"][0]["text"] async for e in stream.events()])

    async def many():
        return await asyncio.gather(*map(one, bodies))

    found = []
    reading = threading.Thread(target=lambda: found.extend(asyncio.run(many())))
    reading.start()
    assert soon(lambda: llm.info().num_running == 8)
    cells = 0
    while reading.is_alive():
        [output] = llm.generate("Once upon a time", params, use_tqdm=False)
        assert output.outputs[0].token_ids == alone.outputs[0].token_ids
        cells += 1
    assert cells >= 1
    longer = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)
    wanted = llm.generate([b["prompt"] for b in bodies], longer, use_tqdm=False)
    assert found == [o.outputs[0].text for o in wanted]


def test_a_sleeping_model_wakes_up(server, client, llm):
    llm.sleep()
    assert client.completions.create(model="tiny", prompt="a", max_tokens=2).choices[0].text
    assert not llm.is_sleeping()


def test_ipv6():
    try:
        server = Server("::1", 0)
    except ParamError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(server.url.replace("/v1", "/health")).status_code == 200


def test_no_ipython_is_needed():
    import subprocess
    import sys

    code = (
        "import sys, nbllm.entrypoints.openai, nbllm.entrypoints.cli.serve;"
        "print(sorted({'IPython', 'ipywidgets', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_errors_in_the_middle_of_a_stream(server, llm, monkeypatch):
    """An event with the error, then [DONE]: the client raises, and does not wait for more."""
    calls, collect = iter(range(10**6)), llm.engine._collect

    def fail(plan, samples):
        if next(calls) == 5:
            for request in llm.engine.live.values():
                request.error = ParamError("structured_outputs, after 5 tokens: a dead end")
                llm.engine.abort(request)
        return collect(plan, samples)

    monkeypatch.setattr(llm.engine, "_collect", fail)
    with connect(server) as client, pytest.raises(openai.APIError, match="a dead end"):
        for _ in client.completions.create(
            model="tiny", prompt="a", max_tokens=50, stream=True, extra_body={"ignore_eos": True}
        ):
            pass


def test_errors_before_the_first_token(server, llm, monkeypatch):
    """Then there is a status to say it with, whether it was to be a stream or not."""

    def fail(plan):
        raise RuntimeError("the card fell off")

    for stream in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(llm.engine.runner, "run", fail)
            response = httpx.post(
                server.url + "/completions", json={"prompt": "a", "stream": stream}
            )
        assert response.status_code == 500
        assert "card" not in json.dumps(response.json())
