"""Malformed requests, made from the OpenAPI document: each gets an answer, and leaves nothing."""

import json
import threading

import httpx
import pytest
from clients import idle, soon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_schemas import ANYTHING, TEXTS, allowed

from nbllm import LLM, resident
from nbllm.entrypoints.openai import Limits, Options, Server
from nbllm.entrypoints.openai.openapi import document

DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
BODIES = {
    path: operation["post"]["requestBody"]["content"]["application/json"]["schema"][
        "$ref"
    ].rpartition("/")[2]
    for path, operation in DOCUMENT["paths"].items()
    if "post" in operation
}
HI = [{"role": "user", "content": "hi"}]
RIGHT = {
    "/v1/completions": {"model": "fuzz", "prompt": "a", "max_tokens": 3},
    "/v1/chat/completions": {"model": "fuzz", "messages": HI, "max_tokens": 3},
    "/tokenize": {"model": "fuzz", "prompt": "a"},
    "/detokenize": {"model": "fuzz", "tokens": [5, 6]},
}
REFUSED = {400, 401, 403, 404, 405, 413, 503}
PARTS = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]) | TEXTS,
        "content": TEXTS | ANYTHING,
    }
)


@st.composite
def requests(draw):
    """(method, path, headers, body): a right request, of which something is changed."""
    path = draw(st.sampled_from(sorted(RIGHT)))
    fields = SCHEMAS[BODIES[path]]["properties"]
    body = dict(RIGHT[path])
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True)):
        right = allowed(fields[name], SCHEMAS)
        body[name] = draw(right | right | ANYTHING)
    if "messages" in body and draw(st.booleans()):
        body["messages"] = draw(st.lists(PARTS, max_size=3))
    if draw(st.integers(0, 9)) == 0:
        body[draw(TEXTS)] = draw(ANYTHING)
    if draw(st.integers(0, 9)) == 0:
        body.pop(draw(st.sampled_from(sorted(body))))
    data = json.dumps(body).encode()
    kind, method = "application/json", "POST"
    match draw(st.integers(0, 19)):
        case 0:
            cut = draw(st.integers(0, len(data)))
            data = data[:cut] + draw(st.binary(max_size=5)) + data[cut + draw(st.integers(0, 3)) :]
        case 1:
            data = json.dumps(draw(ANYTHING)).encode()
        case 2:
            kind = draw(
                st.sampled_from(["text/plain", "application/xml", "application/json; charset=x"])
            )
        case 3:
            method = draw(st.sampled_from(["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]))
        case 4:
            path += draw(st.sampled_from(["/", "/x", "/../../etc", "?a=b", "%00", "//"]))
    return method, path, {"content-type": kind}, data


@pytest.fixture(scope="module")
def fuzzed():
    """A server whose longest generation is short, with a client of it."""
    llm = LLM(max_model_len=80, kv_cache_memory_bytes=16 << 20)
    resident.load(llm, name="fuzz")
    limits = Limits(max_batch=8, max_queue=16, max_body_bytes=100_000)
    with (
        Server(port=0, options=Options(limits=limits, trust_templates=True)) as server,
        httpx.Client(base_url=server.url.removesuffix("/v1"), timeout=30) as http,
    ):
        yield server, llm, http
    resident.unload("fuzz")


def check(response, method):
    """An answer in its form; a stream has come to its end."""
    if response.status_code == 200:
        if response.headers["content-type"].startswith("text/event-stream"):
            *events, last = response.text.strip().split("\n\n")
            assert last == "data: [DONE]"
            for event in events:
                json.loads(event.removeprefix("data: "))
        elif method != "HEAD":
            response.json()
        return
    assert response.status_code in REFUSED, (response.status_code, response.text)
    if method != "HEAD":
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]


@pytest.mark.parametrize(
    "cases", [300, pytest.param(6000, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])]
)
def test_malformed_requests(fuzzed, cases):
    server, llm, http = fuzzed
    threads = threading.active_count()
    statuses = []

    @settings(
        max_examples=cases, deadline=None, database=None, derandomize=cases < 1000,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(requests())
    def ask(asked):
        method, path, headers, data = asked
        response = http.request(method, path, headers=headers, content=data)
        check(response, method)
        statuses.append(response.status_code)

    ask()
    print({status: statuses.count(status) for status in sorted(set(statuses))})
    assert len(statuses) >= cases
    # both the right and the wrong ones were asked
    assert min(statuses.count(200), statuses.count(400)) > cases / 20
    assert soon(lambda: idle(llm))
    assert soon(lambda: server._app._desk.room.taken == 0)
    assert soon(lambda: threading.active_count() <= threads + 5)
    right = http.post("/v1/completions", json=RIGHT["/v1/completions"])
    assert right.json()["usage"]["completion_tokens"] == 3
