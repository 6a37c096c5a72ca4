"""What is refused, with OpenAI's codes and in OpenAI's form."""

import json

import httpx
import openai
import pytest

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
BEAMS = {"prompt": "a", "use_beam_search": True}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "string", "format": "x"}},
}

MALFORMED = [
    ({}, "prompt is missing", "prompt"),
    ([], "the body must be a JSON object", None),
    ({"prompt": 1}, "prompt must be a string, a list of strings", "prompt"),
    ({"prompt": ""}, "a prompt is empty", None),
    ({"prompt": []}, "prompt must be a string", "prompt"),
    ({"prompt": ["a", ""]}, "prompt 1: a prompt is empty", "prompt"),
    ({"prompt": ["a", 1]}, "prompt must be", "prompt"),
    ({"prompt": [4096]}, "token id 4096 is outside the vocabulary of 4096 ids", None),
    ({"prompt": [[1], [-1]]}, "token id -1 is outside", "prompt"),
    ({"prompt": [5] * 2048}, "a prompt of 2048 tokens leaves no room", None),
    ({"prompt": "a", "temprature": 1}, "did you mean 'temperature'?", "temprature"),
    ({"prompt": "a", "temperature": 3}, "temperature must lie in [0, 2], got 3.0", "temperature"),
    ({"prompt": "a", "temperature": "1"}, "temperature: input should be a valid number", "temperature"),
    ({"prompt": "a", "temperature": True}, "temperature: input should be", "temperature"),
    ({"prompt": "a", "top_p": 0}, "top_p must lie in (0, 1]", "top_p"),
    ({"prompt": "a", "top_k": -2}, "top_k must be", "top_k"),
    ({"prompt": "a", "top_k": 2**31}, "top_k: input should be less than", "top_k"),
    ({"prompt": "a", "n": 0}, "n: input should be greater than or equal to 1", "n"),
    ({"prompt": "a", "n": 10**9}, "one request may ask for 1024 completions", None),
    ({"prompt": ["a"] * 1025}, "n=1 times 1025 prompts", None),
    ({"prompt": "a", "n": 2, "temperature": 0}, "n must be 1 when temperature is 0", "n"),
    ({"prompt": "a", "max_tokens": -1}, "max_tokens: input should be", "max_tokens"),
    ({"prompt": "a", "min_tokens": 17}, "min_tokens must be at most max_tokens", "min_tokens"),
    ({"prompt": "a", "logprobs": 21}, "logprobs must be at most max_logprobs=20", "logprobs"),
    ({"prompt": "a", "stop": ["x", ""]}, "stop must be a string, or a list", "stop"),
    ({"prompt": "a", "stop": ["x"] * 33}, "stop must be a string, or a list", "stop"),
    ({"prompt": "a", "stop": "x" * 257}, "stop must be a string, or a list", "stop"),
    ({"prompt": "a", "bad_words": ["x"] * 257}, "bad_words: list should have at most 256", "bad_words"),
    ({"prompt": "a", "logit_bias": {"x": 1}}, "logit_bias must be an integer", "logit_bias"),
    ({"prompt": "a", "logit_bias": {"1": 101}}, "logit_bias must lie in", "logit_bias"),
    ({"prompt": "a", "logit_bias": {"5000": 1}}, "logit_bias: 5000 is outside", "logit_bias"),
    ({"prompt": "a", "best_of": 2}, "best_of: input should be 1", "best_of"),
    ({"prompt": "a", "suffix": "x"}, "suffix: input should be null", "suffix"),
    ({"prompt": "a", "seed": 2**63}, "seed: input should be", "seed"),
    ({"prompt": "a", "cache_salt": "x"}, "there is no field 'cache_salt'", "cache_salt"),
    ({"prompt": "a", "stream": True, "stream_options": {"x": 1}}, "there is no field 'x' in stream_options", "stream_options"),
    ({"prompt": "a", "stream_options": {}}, "stream_options need stream=true", "stream_options"),
    ({"prompt": "a", "request_id": "a b"}, "request_id", "request_id"),
    ({"prompt": "a", "truncate_prompt_tokens": 0}, "truncate_prompt_tokens must be", "truncate_prompt_tokens"),
    ({"prompt": "a", "stream": True, "prompt_logprobs": 1}, "prompt_logprobs are not streamed", "prompt_logprobs"),
    ({"prompt": "a", "length_penalty": 2}, "length_penalty is for beam search", "length_penalty"),
    ({**BEAMS, "top_p": 0.5}, "top_p is for sampling", "top_p"),
    ({**BEAMS, "min_tokens": 1}, "min_tokens is for sampling", "min_tokens"),
    ({**BEAMS, "n": 500, "max_tokens": 2000}, "of KV cache", None),
    ({"prompt": "a", "response_format": {"type": "x"}}, "response_format must be", "response_format"),
    ({"prompt": "a", "response_format": SCHEMA}, "structured_outputs.json", "structured_outputs"),
    ({"prompt": "a", "structured_outputs": {}}, "exactly one of json, regex", None),
    ({"prompt": "a", "structured_outputs": {"regex": "("}}, "unclosed group", "structured_outputs"),
    ({"prompt": "a", "guided_regex": "a", "response_format": {"type": "json_object"}}, "give one of", None),
]  # fmt: skip
CHAT_MALFORMED = [
    ({}, "messages is missing", "messages"),
    ({"messages": []}, "messages: list should have at least 1 item", "messages"),
    ({"messages": "hi"}, "messages: input should be a valid list", "messages"),
    ({"messages": [{"content": "x"}]}, "message 0 needs a 'role'", None),
    ({"messages": [{"role": "user"}]}, "message 0 (user) has no 'content'", None),
    ({"messages": [{"role": "robot", "content": "x"}]}, "the chat template refused", None),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "only text parts", None),
    ({"messages": HI, "top_logprobs": 2}, "top_logprobs needs logprobs", "top_logprobs"),
    ({"messages": HI, "max_tokens": 0}, "max_tokens: input should be", "max_tokens"),
    ({"messages": HI, "max_tokens": 2, "max_completion_tokens": 3}, "contradict", "max_completion_tokens"),
    ({"messages": HI, "tool_choice": "required"}, "tool_choice needs tools", "tool_choice"),
    ({"messages": HI, "tools": TOOLS, "tool_choice": "maybe"}, 'must be "none", "auto"', "tool_choice"),
    ({"messages": HI, "tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}},
     "there is no tool 'g', but 'f'", "tool_choice"),
    ({"messages": HI, "tools": [{"type": "web"}]}, "tools.0", "tools"),
    ({"messages": HI, "tools": TOOLS * 129}, "tools: list should have at most 128", "tools"),
    ({"messages": HI, "functions": []}, "there is no field 'functions'", "functions"),
    ({"messages": HI, "reasoning_effort": "low"}, "has no use for reasoning_effort", None),
    ({"messages": HI, "documents": [{"a": "b"}]}, "has no use for documents", None),
    ({"messages": HI, "use_beam_search": True}, "use_beam_search needs max_tokens", "max_tokens"),
    ({"messages": HI, "modalities": ["audio"]}, "modalities.0: input should be 'text'", "modalities"),
    ({"messages": HI, "store": True}, "store: input should be False", "store"),
    ({"messages": HI, "add_generation_prompt": True, "continue_final_message": True}, "exclude each other",
     "add_generation_prompt"),
    ({"messages": HI, "chat_template_kwargs": {"tools": []}}, "tools is an argument of its own", "tools"),
]  # fmt: skip


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url.removesuffix("/v1"), timeout=60) as http:
        yield http


def error_of(response, status):
    """The error, which has OpenAI's form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


@pytest.mark.parametrize(("body", "message", "param"), MALFORMED)
def test_completions(http, body, message, param):
    error = error_of(http.post(COMPLETIONS, json=body), 400)
    assert message in error["message"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


@pytest.mark.parametrize(("body", "message", "param"), CHAT_MALFORMED)
def test_chat(http, body, message, param):
    error = error_of(http.post(CHAT, json=body), 400)
    assert message in error["message"]
    assert error["param"] == param


@pytest.mark.parametrize("stream", [False, True])
def test_a_stream_is_refused_with_its_status(http, stream):
    error_of(http.post(COMPLETIONS, json={"prompt": "", "stream": stream}), 400)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b'{"prompt": "a", "temperature": NaN}', "the body is not JSON"),
        (b'{"prompt": "\\ud800"}', "the body is not JSON"),
        (b"[" * 5000, "recursion limit"),
        (b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}", "the body is not JSON"),
        (b'{"prompt": "a", "temperature": 1e999}', "temperature"),
    ],
)  # fmt: skip
def test_what_is_no_json(http, body, message):
    headers = {"content-type": "application/json"}
    error = error_of(http.post(COMPLETIONS, content=body, headers=headers), 400)
    assert message in error["message"]


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT, "/tokenize", "/detokenize"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_content_type(http, path, kind):
    """A page of another site could send these without asking."""
    headers = {"content-type": kind} if kind else {}
    error = error_of(http.post(path, content=b'{"prompt": "a"}', headers=headers), 400)
    assert "content-type must be application/json" in error["message"]


def test_paths_and_methods(http):
    assert error_of(http.get("/nothing"), 404)["code"] == "not_found"
    response = http.get(COMPLETIONS)
    assert error_of(response, 405)["message"] == "/v1/completions takes POST, not GET"
    assert response.headers["allow"] == "POST"
    error_of(http.request("OPTIONS", CHAT, headers={"origin": "http://evil.example"}), 405)


def test_models(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.completions.create(model="gpt-4", prompt="a")
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_the_clients_errors(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model="tiny", prompt="a", temperature=9)
    assert error.value.param == "temperature"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="tiny", messages=HI, stream=True, top_p=7)


def test_an_error_of_our_own_tells_nothing(serve, monkeypatch):
    """500 says no more than that: what went wrong is for the log."""
    from nbllm.entrypoints.openai.completions import Completions

    def fail(self, *args):
        raise RuntimeError("secret")

    monkeypatch.setattr(Completions, "prepare", fail)
    response = httpx.post(serve().url + "/completions", json={"prompt": "a"})
    error = error_of(response, 500)
    assert "secret" not in json.dumps(error)
    assert error["type"] == "server_error"


def test_a_dead_end_of_a_grammar(client, llm):
    """What the model's vocabulary cannot go on with is the request's mistake, while it runs too."""
    body = {"structured_outputs": {"regex": "ab"}, "allowed_token_ids": [400, 401]}
    made = client.completions.create(model="tiny", prompt="a", extra_body=body)
    # the grammar goes before the allowed tokens, as in vLLM
    assert made.choices[0].text == "ab"
