"""Tools for templates without a place for them, and grammars of calls."""

import json

import pytest

from nbllm import LLM, StructuredOutputsParams
from nbllm.chat import Style, parse, render
from nbllm.chat.tools import (
    behind_reasoning,
    calls_as_declared,
    calls_only,
    described,
    names_in,
)
from nbllm.errors import ParamError

CITY = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/place"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"place": {"enum": ["Paris", "Rome"]}},
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
CLOCK = {"type": "function", "function": {"name": "clock"}}
HERMES, LLAMA = Style(calls="hermes"), Style(calls="llama3")


@pytest.fixture(scope="module")
def llm():
    with LLM() as llm:
        yield llm


@pytest.fixture
def fits(llm):
    """Whether a text is what the parameters ask for: all of it, and it may end there."""

    def fits(params: StructuredOutputsParams, text: str) -> bool:
        matcher = llm.intake.grammars.matcher(params)
        ids = llm.tokenizer.encode(text, add_special_tokens=False)
        taken = all(matcher.accept(token) for token in ids)
        return taken and bool(matcher.allowed()[llm.tokenizer.eos_token_id])

    return fits


def hermes(name="weather", **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def llama(name="weather", **arguments):
    return json.dumps({"name": name, "parameters": arguments})


@pytest.mark.parametrize(("style", "call"), [(HERMES, hermes), (LLAMA, llama)])
def test_calls_only(fits, style, call):
    wanted = calls_only([WEATHER, CLOCK], style, single=False)
    between = "\n" if style is HERMES else "; "
    both = call(city="Rome") + between + call("clock", zone="UTC")
    for text in (call(city="Paris"), both):
        assert fits(wanted, text)
        read = parse(text, style)["tool_calls"]
        assert len(read) == text.count('"name"')
        assert read[0]["function"]["name"] == "weather"
    for text in (call(city="Oslo"), call("other"), "Hello", "", call(city="Rome") + " and"):
        assert not fits(wanted, text)
    single = calls_only([WEATHER], style, single=True)
    assert fits(single, call(city="Rome"))
    assert not fits(single, call(city="Rome") + between + call(city="Paris"))


@pytest.mark.parametrize(("style", "call"), [(HERMES, hermes), (LLAMA, llama)])
def test_strict_calls(fits, style, call):
    """Any answer will do, but a call of a strict tool fits its schema."""
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}
    assert calls_as_declared([WEATHER, CLOCK], style) is None
    wanted = calls_as_declared([strict, CLOCK], style)
    for text in ("It rains.", "", call(city="Rome"), call("clock", any=[1])):
        assert fits(wanted, text), text
    for text in (call(city="Oslo"), call("other")):
        assert not fits(wanted, text), text
    if style is HERMES:
        assert fits(wanted, f"Let me see. {call(city='Rome')} And {call('clock')} then")
        assert not fits(wanted, f"Let me see. {call(city='Oslo')}")


def test_names_may_be_anything(fits):
    name = 'say "hi"\n\\ü'
    tool = {"type": "function", "function": {"name": name}}
    text = f'<tool_call>\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {{}}}}\n</tool_call>'
    assert fits(calls_only([tool], HERMES, single=True), text)
    assert parse(text, HERMES)["tool_calls"][0]["function"]["name"] == name


def test_parameters_that_are_no_object():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
    with pytest.raises(ParamError, match="parameters of 'f' must describe an object"):
        calls_only([tool], HERMES, single=True)


@pytest.mark.parametrize("thinking", [False, True])
def test_behind_reasoning(fits, thinking):
    style = Style(reasons=True, thinking=thinking)
    begun = "" if thinking else "<think>"
    thought = f"{begun}Well, {{1}} it is</think>\n\n"
    ways = {
        '{"a": 1}': {"json": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "{}": {"json_object": True},
        "yes/no": {"choice": ["yes/no", "no"]},
        "a/b12": {"regex": r"a/b\d+"},
    }
    for text, fields in ways.items():
        wanted = behind_reasoning(StructuredOutputsParams(**fields), style)
        assert fits(wanted, thought + text)
        assert fits(wanted, text) is not thinking
        assert not fits(wanted, thought + "maybe")
    calls = calls_only(
        [WEATHER], Style(calls="hermes", reasons=True, thinking=thinking), single=True
    )
    assert fits(calls, thought + hermes(city="Rome"))
    assert not fits(calls, thought + hermes(city="Oslo"))


def test_without_reasoning_nothing_changes():
    wanted = StructuredOutputsParams(regex="a")
    assert behind_reasoning(wanted, Style()) is wanted
    own = StructuredOutputsParams(grammar='start: "a"')
    assert behind_reasoning(own, Style(reasons=True)) is own


def test_names_in():
    template = "{% for m in messages %}{{ m }}{{ bos_token }}{% endfor %}{% set x = tools %}{{ x }}"
    assert names_in(template) == {"messages", "bos_token", "tools"}
    assert names_in("{% if %}") == frozenset()


def test_described(llm):
    """A conversation with tools, for a template that knows neither these nor their roles."""
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
    }
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Rain"},
    ]
    made = described(messages, [WEATHER])
    assert [m["role"] for m in made] == ["system", "user", "assistant", "user"]
    assert json.dumps(WEATHER) in made[0]["content"]
    assert made[2]["content"] == hermes(city="Rome")
    assert made[3]["content"] == "<tool_response>\nRain\n</tool_response>"
    text = render(llm.tokenizer, made, llm.find_chat_template())
    assert text.endswith("Rain\n</tool_response><|end|><|assistant|>")
    told = described([{"role": "system", "content": "Be brief."}, *messages], [WEATHER])
    assert told[0]["content"].startswith("Be brief.\n\n# Tools")
