"""`/tokenize` and `/detokenize`, as vLLM has them."""

import httpx
import pytest

HI = [{"role": "user", "content": "What is 2 + 3?"}]


@pytest.fixture
def post(server):
    def post(path, **body):
        response = httpx.post(server.url.removesuffix("/v1") + path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    return post


def test_prompt(post, llm):
    found = post("/tokenize", prompt="Hello world", model="tiny")
    ids = llm.tokenizer.encode("Hello world")
    assert found == {"count": len(ids), "max_model_len": llm.max_model_len, "tokens": ids}
    bare = post("/tokenize", prompt="Hello world", add_special_tokens=False)
    assert bare["tokens"] == llm.tokenizer.encode("Hello world", add_special_tokens=False)


def test_token_strings(post, llm):
    found = post("/tokenize", prompt="Hi", return_token_strs=True)
    assert found["token_strs"] == [llm.tokenizer.backend.id_to_token(i) for i in found["tokens"]]


def test_conversation(post, llm):
    ids = llm.preprocess_chat(HI)[0]["prompt_token_ids"]
    assert post("/tokenize", messages=HI)["tokens"] == ids
    rest = post("/tokenize", messages=HI, add_generation_prompt=False)["tokens"]
    assert ids[: len(rest)] == rest
    begun = [*HI, {"role": "assistant", "content": "It is"}]
    found = post("/tokenize", messages=begun, continue_final_message=True)
    assert post("/detokenize", tokens=found["tokens"])["prompt"].endswith("<|assistant|>It is")


def test_tools(post):
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert (
        post("/tokenize", messages=HI, tools=tools)["count"]
        > post("/tokenize", messages=HI)["count"]
    )


def test_back(post):
    found = post("/tokenize", prompt="Once upon a time")
    assert post("/detokenize", tokens=found["tokens"]) == {"prompt": "<|begin|>Once upon a time"}
    assert post("/detokenize", tokens=[]) == {"prompt": ""}


def test_empty_prompt(post):
    assert post("/tokenize", prompt="")["count"] in (0, 1)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/tokenize", {}, "give either prompt or messages"),
        ("/tokenize", {"prompt": "a", "messages": HI}, "give either prompt or messages"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/detokenize", {"tokens": [9999]}, "outside the vocabulary"),
        ("/detokenize", {"tokens": [-1]}, "outside the vocabulary"),
        ("/detokenize", {"tokens": "ab"}, "tokens"),
        ("/detokenize", {}, "tokens is missing"),
    ],
)
def test_refused(server, path, body, said):
    response = httpx.post(server.url.removesuffix("/v1") + path, json=body)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]
