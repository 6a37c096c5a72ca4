"""`/v1/chat/completions` through the official client."""

import json

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from nbllm import SamplingParams

ASK = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"model": "tiny", "messages": ASK, "temperature": 0}
THINKING = """\
{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% if enable_thinking %}<think>{% endif %}{% endif %}"""


def valid(made):
    ChatCompletion.model_validate(made.to_dict())
    return made


def streamed(client, **asked):
    chunks = list(client.chat.completions.create(stream=True, **asked))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.to_dict())
    return chunks


def joined(chunks, index=0):
    deltas = [c.delta for chunk in chunks for c in chunk.choices if c.index == index]
    return "".join(d.content or "" for d in deltas)


def reasons(chunks):
    return [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]


def test_answer(client, llm):
    made = valid(client.chat.completions.create(**GREEDY))
    params = SamplingParams(temperature=0, max_tokens=None)
    [output] = llm.chat(ASK, params, use_tqdm=False)
    [choice] = made.choices
    assert choice.message.content == output.outputs[0].text
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert choice.message.tool_calls is None
    assert made.object == "chat.completion"
    assert made.usage.prompt_tokens == len(output.prompt_token_ids)
    assert made.usage.completion_tokens == len(output.outputs[0].token_ids)


def test_stream(client):
    whole = client.chat.completions.create(**GREEDY).choices[0].message.content
    chunks = streamed(client, **GREEDY)
    assert joined(chunks) == whole
    assert [c.choices[0].delta.role for c in chunks if c.choices[0].delta.role] == ["assistant"]
    assert reasons(chunks) == ["stop"]
    *_, last = streamed(client, **GREEDY, stream_options={"include_usage": True})
    assert (last.choices, last.usage.completion_tokens > 0) == ([], True)


def test_the_clients_own_stream_helper(client):
    whole = client.chat.completions.create(**GREEDY).choices[0].message.content
    with client.chat.completions.stream(**GREEDY) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == whole


def test_async(aclient):
    async def both(client):
        made = valid(await client.chat.completions.create(**GREEDY))
        stream = await client.chat.completions.create(stream=True, **GREEDY)
        parts = [c.choices[0].delta.content or "" async for c in stream]
        return made.choices[0].message.content, "".join(parts)

    whole, parts = aclient(both)
    assert whole == parts
    assert "Paris" in whole


def test_n_and_seed(client):
    asked = {**GREEDY, "temperature": 1.2, "n": 3, "seed": 3, "max_tokens": 12}
    made = valid(client.chat.completions.create(**asked))
    again = streamed(client, **asked)
    assert [c.message.content for c in made.choices] == [joined(again, i) for i in range(3)]
    assert len({c.message.content for c in made.choices}) > 1


def test_max_completion_tokens(client):
    made = client.chat.completions.create(**GREEDY, max_completion_tokens=2)
    assert (made.usage.completion_tokens, made.choices[0].finish_reason) == (2, "length")
    made = client.chat.completions.create(**GREEDY, max_tokens=2)
    assert made.usage.completion_tokens == 2


def test_content_parts(client):
    parts = [{"type": "text", "text": ASK[0]["content"]}]
    asked = {**GREEDY, "messages": [{"role": "user", "content": parts}]}
    assert "Paris" in client.chat.completions.create(**asked).choices[0].message.content


@pytest.mark.parametrize("top", [None, 0, 3])
def test_logprobs(client, top):
    made = valid(client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=top))
    found = made.choices[0].logprobs.content
    assert len(found) == made.usage.completion_tokens
    spoken = [t.token for t in found if t.token != "<|end|>"]
    assert "".join(spoken) == made.choices[0].message.content
    assert bytes(b for t in found[:-1] for b in t.bytes).decode() == "".join(spoken)
    assert all(len(t.top_logprobs) == (top or 0) for t in found)
    if top:
        # greedy: the token itself is the likeliest
        assert [t.token for t in found] == [t.top_logprobs[0].token for t in found]
        likely = [[p.logprob for p in t.top_logprobs] for t in found]
        assert likely == [sorted(p, reverse=True) for p in likely]
    parts = [
        t.token
        for c in streamed(client, **GREEDY, logprobs=True)
        for t in c.choices[0].logprobs.content
    ]
    assert parts == [t.token for t in found]


def test_bytes_of_parts_of_characters(client, llm):
    """A token that is no whole character has no text, but it has bytes."""
    ids = llm.tokenizer.encode("ж", add_special_tokens=False)
    assert len(ids) > 1
    text = b""
    for token in ids:
        body = {"allowed_token_ids": [token]}
        made = client.chat.completions.create(
            **GREEDY, max_tokens=1, logprobs=True, extra_body=body
        )
        text += bytes(made.choices[0].logprobs.content[0].bytes)
    assert text.decode() == "ж"


def test_prompt_logprobs_and_ids(client, llm):
    body = {"prompt_logprobs": 0, "return_token_ids": True}
    made = client.chat.completions.create(**GREEDY, extra_body=body)
    assert len(made.prompt_logprobs) == made.usage.prompt_tokens
    assert made.prompt_token_ids == llm.preprocess_chat(ASK)[0]["prompt_token_ids"]
    assert len(made.choices[0].token_ids) == made.usage.completion_tokens


def test_continue_and_echo(client):
    begun = [*ASK, {"role": "assistant", "content": "The capital of"}]
    body = {"continue_final_message": True, "add_generation_prompt": False}
    asked = {**GREEDY, "messages": begun}
    rest = client.chat.completions.create(**asked, extra_body=body).choices[0].message.content
    assert rest.startswith(" France is Paris")
    echoed = client.chat.completions.create(**asked, extra_body={**body, "echo": True})
    assert echoed.choices[0].message.content == "The capital of" + rest
    chunks = streamed(client, **asked, extra_body={**body, "echo": True})
    assert joined(chunks) == "The capital of" + rest


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "age": {"type": "integer", "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_response_format(client, kind, stream):
    format = {"type": kind}
    if kind == "json_schema":
        format["json_schema"] = {"name": "person", "schema": SCHEMA, "strict": True}
    say = "Convert to JSON: Anna is 7 years old."
    asked = {**GREEDY, "messages": [{"role": "user", "content": say}], "max_tokens": 100}
    asked["response_format"] = format
    if stream:
        text = joined(streamed(client, **asked))
    else:
        text = valid(client.chat.completions.create(**asked)).choices[0].message.content
    found = json.loads(text)
    assert isinstance(found, dict)
    if kind == "json_schema":
        assert set(found) == {"name", "age"}


class Person(BaseModel):
    name: str
    age: int


def test_parse_of_the_client(client):
    """The client makes a schema of a class, and an object of the answer."""
    made = client.chat.completions.parse(**GREEDY, response_format=Person, max_tokens=100)
    assert isinstance(made.choices[0].message.parsed, Person)


def test_structured_outputs(client):
    body = {"structured_outputs": {"choice": ["good", "bad"]}}
    made = client.chat.completions.create(**GREEDY, extra_body=body)
    assert made.choices[0].message.content in ("good", "bad")


def test_beam_search(client):
    body = {"use_beam_search": True}
    asked = {**GREEDY, "n": 3, "max_tokens": 12, "extra_body": body}
    made = valid(client.chat.completions.create(**asked))
    found = [c.message.content for c in made.choices]
    assert len(set(found)) == 3
    chunks = streamed(client, **asked)
    assert [joined(chunks, i) for i in range(3)] == found


def test_labels_change_nothing(client):
    labels = {
        "user": "me", "metadata": {"a": "b"}, "store": False, "service_tier": "auto",
        "safety_identifier": "me", "prompt_cache_key": "k", "modalities": ["text"],
    }  # fmt: skip
    plain = client.chat.completions.create(**GREEDY).choices[0].message.content
    assert client.chat.completions.create(**GREEDY, **labels).choices[0].message.content == plain


def test_reasoning(trusting):
    """What a model thinks is told apart. This one would not think by itself: a grammar makes it."""
    body = {
        "chat_template": THINKING,
        "chat_template_kwargs": {"enable_thinking": True},
        "structured_outputs": {"grammar": 'start: "I know\\n</think>\\n\\nParis"'},
    }
    message = valid(trusting.chat.completions.create(**GREEDY, extra_body=body)).choices[0].message
    assert (message.reasoning, message.content) == ("I know", "Paris")
    chunks = streamed(trusting, **GREEDY, extra_body=body)
    reasoning = [getattr(c.choices[0].delta, "reasoning", None) or "" for c in chunks]
    assert len(reasoning) > 2
    assert ("".join(reasoning), joined(chunks)) == ("I know", "Paris")
    body["include_reasoning"] = False
    message = valid(trusting.chat.completions.create(**GREEDY, extra_body=body)).choices[0].message
    assert message.content == "Paris"
    assert not hasattr(message, "reasoning")
    assert joined(streamed(trusting, **GREEDY, extra_body=body)) == "Paris"


def test_variables_of_a_template(trusting):
    template = THINKING + "{{ reasoning_effort }}{% for d in documents %}{{ d.text }}{% endfor %}"
    body = {"chat_template": template, "documents": [{"text": "Paris"}], "prompt_logprobs": 0}
    asked = {**GREEDY, "max_tokens": 1, "reasoning_effort": "low"}
    made = trusting.chat.completions.create(**asked, extra_body=body)
    tokens = [next(iter(p.values()))["decoded_token"] for p in made.prompt_logprobs[1:]]
    assert "".join(tokens).endswith("lowParis")
