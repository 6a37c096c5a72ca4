"""Tools through the official client: with a template that has them, and with one that does not."""

import json
from pathlib import Path

import openai
import pytest
from openai import BadRequestError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from nbllm import LLM, resident

TEMPLATES = Path(__file__).parents[1] / "chat" / "templates"
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "…", "parameters": CITY},
}
TIME = {
    "type": "function",
    "function": {"name": "time", "parameters": {**CITY, "properties": {"city": {"const": "Rome"}}}},
}
TOOLS = [WEATHER, TIME]
ASK = [{"role": "user", "content": "How is the weather in Rome?"}]
MODELS = ("tiny", "hermes_tools", "llama31_tools", "mistral_tools")


@pytest.fixture(scope="module", autouse=True)
def _models(server):
    """The bundled model with others' templates."""
    for name in MODELS[1:]:
        llm = LLM(chat_template=TEMPLATES / f"{name}.jinja", kv_cache_memory_bytes=64 << 20)
        resident.load(llm, name=name)
    yield
    for name in MODELS[1:]:
        resident.unload(name)
    resident.use("tiny")


def asked(model, **more):
    return {
        "model": model,
        "messages": ASK,
        "temperature": 0,
        "tools": TOOLS,
        "max_tokens": 120,
        **more,
    }


def calls_of(made):
    ChatCompletion.model_validate(made.to_dict())
    return made.choices[0].message.tool_calls


def said(call):
    return call.function.name, call.function.arguments


def streamed(client, **fields):
    """The calls and the content of a stream."""
    calls, content, reason = [], "", None
    for chunk in client.chat.completions.create(stream=True, **fields):
        ChatCompletionChunk.model_validate(chunk.to_dict())
        [choice] = chunk.choices
        content += choice.delta.content or ""
        calls += choice.delta.tool_calls or []
        reason = choice.finish_reason or reason
    return calls, content, reason


@pytest.mark.parametrize("model", MODELS)
def test_required(client, model):
    fields = asked(model, tool_choice="required", parallel_tool_calls=False)
    made = client.chat.completions.create(**fields)
    [call] = calls_of(made)
    assert call.function.name in ("weather", "time")
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    assert (made.choices[0].finish_reason, made.choices[0].message.content) == ("tool_calls", None)
    [again], content, reason = streamed(client, **fields)
    assert said(again) == said(call)
    assert (again.index, again.type, reason, content) == (0, "function", "tool_calls", "")
    assert again.id


@pytest.mark.parametrize("model", MODELS)
def test_named(client, model):
    choice = {"type": "function", "function": {"name": "time"}}
    made = client.chat.completions.create(**asked(model, tool_choice=choice))
    [call] = calls_of(made)
    assert (call.function.name, json.loads(call.function.arguments)) == ("time", {"city": "Rome"})
    # so says OpenAI of a function that was named
    assert made.choices[0].finish_reason == "stop"
    [again], _, reason = streamed(client, **asked(model, tool_choice=choice))
    assert (said(again), reason) == (said(call), "stop")


@pytest.mark.parametrize("model", MODELS)
def test_none(client, model):
    """No tool is shown, no call is read."""
    made = client.chat.completions.create(**asked(model, tool_choice="none"))
    plain = client.chat.completions.create(model=model, messages=ASK, temperature=0, max_tokens=120)
    assert calls_of(made) is None
    assert made.choices[0].message.content == plain.choices[0].message.content
    assert made.usage.prompt_tokens == plain.usage.prompt_tokens


@pytest.mark.parametrize("model", MODELS[:3])
def test_auto(client, model):
    """A model that does not call answers; one that does is read. This one has to be made to."""
    made = client.chat.completions.create(**asked(model))
    assert calls_of(made) is None
    assert made.choices[0].message.content
    texts = {
        "tiny": '<tool_call>\n{"name": "time", "arguments": {"city": "Rome"}}\n</tool_call>',
        "llama31_tools": '{"name": "time", "parameters": {"city": "Rome"}}',
    }
    text = texts.get(model, texts["tiny"])
    body = {"structured_outputs": {"grammar": f"start: {json.dumps(text)}"}}
    made = client.chat.completions.create(**asked(model, tool_choice="auto"), extra_body=body)
    [call] = calls_of(made)
    assert (call.function.name, call.function.arguments) == ("time", '{"city": "Rome"}')
    assert made.choices[0].finish_reason == "tool_calls"
    [again], content, reason = streamed(client, **asked(model), extra_body=body)
    assert (said(again), content, reason) == (said(call), "", "tool_calls")


def test_auto_of_a_form_that_cannot_be_read(client):
    with pytest.raises(BadRequestError, match="cannot read the form of calls") as error:
        client.chat.completions.create(**asked("mistral_tools"))
    assert error.value.param == "tool_choice"


def test_several_calls_and_one(client):
    call = '<tool_call>\n{"name": "time", "arguments": {"city": "Rome"}}\n</tool_call>'
    body = {
        "structured_outputs": {"grammar": f"start: {json.dumps(f'Well. {call}{chr(10)}{call}')}"}
    }
    made = client.chat.completions.create(**asked("tiny"), extra_body=body)
    assert len(calls_of(made)) == 2
    assert len({c.id for c in calls_of(made)}) == 2
    assert made.choices[0].message.content == "Well."
    found, content, _ = streamed(client, **asked("tiny"), extra_body=body)
    assert ([c.index for c in found], content) == ([0, 1], "Well.")
    single = client.chat.completions.create(
        **asked("tiny", parallel_tool_calls=False), extra_body=body
    )
    assert len(calls_of(single)) == 1
    found, _, _ = streamed(client, **asked("tiny", parallel_tool_calls=False), extra_body=body)
    assert len(found) == 1


def test_strict(client):
    """A strict tool makes a grammar of the answer (see tests/chat), so there is no other beside it."""
    fields = asked("tiny")
    fields["tools"] = [{**WEATHER, "function": {**WEATHER["function"], "strict": True}}]
    loose = client.chat.completions.create(**asked("tiny"))
    made = client.chat.completions.create(**fields)
    assert made.choices[0].message.content
    assert made.usage.prompt_tokens != loose.usage.prompt_tokens
    with pytest.raises(BadRequestError, match="does not go with calls that are required or strict"):
        client.chat.completions.create(**fields, response_format={"type": "json_object"})


def test_a_turn_with_a_result(client):
    """The whole round: a call, its result, an answer."""
    made = client.chat.completions.create(
        **asked("tiny", tool_choice="required", parallel_tool_calls=False)
    )
    [call] = calls_of(made)
    messages = [
        *ASK,
        made.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "It rains."},
    ]
    for model in ("tiny", "hermes_tools"):
        answer = client.chat.completions.create(**{**asked(model), "messages": messages})
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.usage.prompt_tokens > made.usage.prompt_tokens


def test_several_answers_with_calls(client):
    fields = asked("tiny", tool_choice="required", parallel_tool_calls=False, n=3, seed=1)
    made = client.chat.completions.create(**{**fields, "temperature": 1.5})
    ids = [c.message.tool_calls[0].id for c in made.choices]
    assert len(set(ids)) == 3


def test_the_clients_own_helpers(client):
    """`openai.pydantic_function_tool` and its stream, which put calls together themselves."""
    from pydantic import BaseModel

    class Clock(BaseModel):
        hour: int

    tool = openai.pydantic_function_tool(Clock)
    fields = {**asked("tiny", tool_choice="required", parallel_tool_calls=False), "tools": [tool]}
    with client.chat.completions.stream(**fields) as stream:
        for _ in stream:
            pass
        [call] = stream.get_final_completion().choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Clock)
