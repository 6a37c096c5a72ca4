"""Keys, host names, sizes, and names that try to be paths."""

import hmac
import json
import socket
from pathlib import Path

import httpx
import openai
import pytest
from clients import connect, soon

from nbllm.entrypoints.openai import Limits, Options, Server
from nbllm.entrypoints.openai import guard as guards
from nbllm.entrypoints.openai.limits import Room
from nbllm.errors import ParamError

HI = [{"role": "user", "content": "hi"}]
GUARDED = [
    ("GET", "/v1/models"), ("GET", "/v1/models/tiny"), ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"), ("POST", "/tokenize"), ("POST", "/detokenize"),
    ("GET", "/anything"), ("GET", "/health/../v1/models"), ("GET", "//v1/models"),
]  # fmt: skip
OPEN = ["/health", "/metrics", "/openapi.json"]


def base(server):
    return server.url.removesuffix("/v1")


@pytest.fixture(scope="module")
def locked(llm):
    with Server(port=0, options=Options(api_keys=["s3cret", "0ther"])) as server:
        yield server


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_the_key(locked, method, path):
    wrong = ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"},
             {"authorization": "Basic s3cret"},
             {"authorization": "Bearer s3cret0"}, {"authorization": b"Bearer \xff"})  # fmt: skip
    for headers in wrong:
        response = httpx.request(method, base(locked) + path, json={"prompt": "a"}, headers=headers)
        assert response.status_code == 401, headers
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert response.headers["www-authenticate"] == "Bearer"


def test_with_a_key(locked):
    for key in ("s3cret", "0ther"):
        with connect(locked, key) as client:
            assert [m.id for m in client.models.list()] == ["tiny"]
            assert client.completions.create(model="tiny", prompt="a", max_tokens=1).choices
    with connect(locked, "wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


@pytest.mark.parametrize("path", OPEN)
def test_open_paths(locked, path):
    assert httpx.get(base(locked) + path).status_code == 200


def test_keys_are_compared_in_constant_time(monkeypatch):
    """By a digest of one length, and with every key whatever the first ones said."""
    seen = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append((a, b)) or compare(a, b))
    guard = guards.Guard(None, hosts=(), keys=["a" * 50, "b"], room=Room(1, ""))
    assert guard._known("Bearer b")
    assert not guard._known("Bearer " + "c" * 200)
    assert len(seen) == 4
    assert {len(side) for pair in seen for side in pair} == {32}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""]
)
@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_wrong_host(server, host, path):
    """A page whose name was made to point here (DNS rebinding) is not answered."""
    response = httpx.get(base(server) + path, headers={"host": host})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8000"])
def test_right_host(server, host):
    assert httpx.get(base(server) + "/health", headers={"host": host}).status_code == 200


def test_allowed_hosts(serve):
    server = serve(allowed_hosts=["my.example"])
    for host, status in (("my.example", 200), ("localhost", 403)):
        assert httpx.get(base(server) + "/health", headers={"host": host}).status_code == status


def test_bound_to_loopback_unless_told_otherwise(server):
    assert server.host == "127.0.0.1"
    assert server._socket.getsockname()[0] == "127.0.0.1"
    with Server("0.0.0.0", 0) as public:
        # whoever opens it up knows under which names, we do not
        assert public.options.allowed_hosts == ()


@pytest.mark.parametrize("said", [True, False])
def test_oversized_body(serve, said):
    """With and without a content-length, and the connection's next request is not misread."""
    server = serve(limits=Limits(max_body_bytes=1000))
    body = json.dumps({"prompt": "a" * 1000}).encode()

    def parts():
        yield from (body[i : i + 100] for i in range(0, len(body), 100))

    headers = {"content-type": "application/json"}
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"):
        with httpx.Client(base_url=base(server)) as client:
            content = body if said else parts()
            response = client.post(path, content=content, headers=headers)
            assert response.status_code == 413
            assert response.json()["error"]["code"] == "request_too_large"
            fine = client.post("/tokenize", json={"prompt": "a"})
            assert fine.status_code == 200


def test_a_very_large_body_is_not_read(serve):
    server = serve(limits=Limits(max_body_bytes=1000))
    with socket.create_connection((server.host, server.port)) as connection:
        head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: 100000000000\r\n\r\n")
        connection.settimeout(10)
        assert b" 413 " in connection.recv(4096)


def test_many_completions(serve):
    server = serve(limits=Limits(max_batch=4, max_queue=8))
    with connect(server) as client:
        with pytest.raises(openai.BadRequestError, match="may ask for 4 completions"):
            client.completions.create(model="tiny", prompt=["a"] * 3, n=2)
        made = client.completions.create(model="tiny", prompt=["a"] * 2, n=2, max_tokens=1)
        assert len(made.choices) == 4


def test_many_requests(serve):
    """Also those whose bodies are still on their way take a place; health does not."""
    server = serve(limits=Limits(max_requests=2))
    head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = [socket.create_connection((server.host, server.port)) for _ in range(2)]
    for connection in slow:
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
    refused = lambda: httpx.get(server.url + "/models").status_code == 503  # noqa: E731
    assert soon(refused)
    response = httpx.get(server.url + "/models")
    assert response.headers["retry-after"] == "1"
    assert "2 of 2 requests are being answered" in response.json()["error"]["message"]
    assert httpx.get(base(server) + "/health").status_code == 200
    for connection in slow:
        connection.close()
    assert soon(lambda: not refused())


def test_limits_that_make_no_sense():
    with pytest.raises(ParamError, match="max_batch must be at least 1 and at most max_queue=2"):
        Limits(max_batch=3, max_queue=2)


NAMES = [
    "../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    "tiny/../tiny",
    "%2e%2e%2fetc",
    "\x00",
]


@pytest.mark.parametrize("name", NAMES)
def test_model_names_are_no_paths(client, server, name, monkeypatch):
    opened = []
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, *a, **k: opened.append(self) or read(self, *a, **k)
    )
    for ask in (
        lambda: client.completions.create(model=name, prompt="a"),
        lambda: client.chat.completions.create(model=name, messages=HI),
        lambda: client.models.retrieve(name),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert {path.parent.name for path in opened} <= {"tiny"}


PATHS = [*NAMES[:2], str(Path(__file__).resolve()), "{{ 1 }}/../../etc/passwd"]


@pytest.mark.parametrize("path", PATHS)
def test_templates_are_no_paths(client, trusting, tmp_path, path):
    """A request's template is never opened as a file, even where requests may bring templates."""
    secret = tmp_path / "secret.jinja"
    secret.write_text("SECRET")
    for template in (path, str(secret)):
        body = {"chat_template": template, "prompt_logprobs": 0}
        asked = {"model": "tiny", "messages": HI, "max_tokens": 1, "extra_body": body}
        with pytest.raises(openai.BadRequestError, match="takes no chat template"):
            client.chat.completions.create(**asked)
        made = trusting.chat.completions.create(**asked)
        tokens = [next(iter(p.values()))["decoded_token"] for p in made.prompt_logprobs[1:]]
        assert "SECRET" not in "".join(tokens)


INJECTIONS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.getcwd() }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ namespace(__class__=1) }}",
    "{{ messages.append({}) }}",
    "{% for i in range(10000000) %}x{% endfor %}",
    "{{ raise_exception('refused') }}",
]


@pytest.mark.parametrize("template", INJECTIONS)
def test_template_injection(trusting, template):
    with pytest.raises(openai.BadRequestError, match="chat template"):
        trusting.chat.completions.create(
            model="tiny", messages=HI, max_tokens=1, extra_body={"chat_template": template}
        )
    with pytest.raises(openai.BadRequestError, match="chat template"):
        trusting.post(
            "/../tokenize", cast_to=object, body={"messages": HI, "chat_template": template}
        )


def test_what_a_message_says_is_no_template(client, llm):
    text = "{{ 7 * 7 }}{% raw %}"
    made = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": text}], max_tokens=1,
        extra_body={"prompt_logprobs": 0},
    )  # fmt: skip
    tokens = [next(iter(p.values()))["decoded_token"] for p in made.prompt_logprobs[1:]]
    assert text in "".join(tokens)


def test_reserved_variables_stay_ours(client):
    for name in ("messages", "chat_template", "add_generation_prompt"):
        with pytest.raises(openai.BadRequestError, match=f"{name} is an argument of its own"):
            client.chat.completions.create(
                model="tiny", messages=HI, extra_body={"chat_template_kwargs": {name: "x"}}
            )
