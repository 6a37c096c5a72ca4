"""A conversation as it is shown: its messages, with what the model made of them."""

import json

from html_page import HOSTILE, Page

from nbllm import views
from nbllm.outputs import CompletionOutput, Logprob
from nbllm.results.conversation import Conversation, Message

LOGPROBS = [{1: Logprob(logprob=-0.5, rank=1, decoded_token="Hi")}]


def answer(text="Hi", **changes):
    made = {"token_ids": [1], "cumulative_logprob": -0.5, "finish_reason": "stop", **changes}
    return CompletionOutput(index=0, text=text, **made)


def shown(*turns):
    bundle = Conversation(turns)._repr_mimebundle_()
    json.dumps(bundle, allow_nan=False)
    return bundle[views.MIME], Page(bundle["text/html"]), bundle["text/plain"]


def test_messages_with_their_tokens():
    question = Message(role="user", content="Hello?")
    data, page, text = shown(
        question, Message(role="assistant", content="Hi", completion=answer(logprobs=LOGPROBS))
    )
    assert data["messages"][0] == {"role": "user", "content": "Hello?"}
    [token] = data["messages"][1]["completion"]["tokens"]
    assert (token["text"], token["rank"]) == ("Hi", 1)
    assert page.text.replace("\n", " ") == "user Hello?assistant Histop · 1 token"
    assert text == "user: Hello?\nassistant: Hi"


def test_reasoning_is_folded_and_has_no_tokens():
    def read(partial):
        return {"role": "assistant", "content": "Hi", "reasoning": "Be polite."}

    made = answer("<think>Be polite.</think>Hi", logprobs=LOGPROBS * 9, reader=read)
    data, page, _ = shown(Message(role="assistant", content="Hi", completion=made))
    [message] = data["messages"]
    assert (message["reasoning"], message["completion"]["text"]) == ("Be polite.", "Hi")
    assert "tokens" not in message["completion"]
    assert {"details", "summary"} <= set(page.tags)


def test_hostile_text_is_inert():
    turns = [Message(role=HOSTILE, content=HOSTILE), Message(role="assistant", content=HOSTILE, completion=answer(HOSTILE))]  # fmt: skip
    data, page, text = shown(*turns)
    assert not {"script", "img"} & set(page.tags)
    for said in (page.text, text):
        assert not any(ord(c) < 32 and c not in "\n\t" for c in said)
    assert data["messages"][0]["content"] == HOSTILE


def test_of_many_messages_the_latest_are_shown():
    data, page, text = shown(*(Message(role="user", content=str(i)) for i in range(130)))
    assert (data["omitted"], data["messages"][0]["content"]) == (30, "30")
    assert "… 30 earlier messages" in page.text
    assert text.startswith("… 30 earlier messages\nuser: 30\n")


def test_nothing_was_said():
    _, page, text = shown()
    assert page.text == text == "nothing was said"


def test_a_reply_has_it(run, llm):
    reply = run("%%chat\nhello there")
    data = reply.conversation._repr_mimebundle_()[views.MIME]
    assert [m["role"] for m in data["messages"]] == ["user", "assistant"]
    assert data["messages"][1]["completion"]["num_tokens"] == 5
