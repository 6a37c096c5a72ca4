"""What a template is given: checked copies of plain data, in the shapes it expects."""

from collections import UserDict
from enum import StrEnum

import numpy as np
import pytest
from chat_conversations import CALLS, TOOLS, call

from nbllm.chat.messages import check_tools, prepare
from nbllm.errors import ParamError, TemplateError


class Role(StrEnum):
    USER = "user"


def test_copies_are_plain_and_the_callers_are_left_alone():
    message = UserDict(role=Role.USER, content="hi", tags=("a", 1), score=np.float64(0.5), ok=True)
    [copy] = prepare([message], "string")
    assert copy == {"role": "user", "content": "hi", "tags": ["a", 1], "score": 0.5, "ok": True}
    assert [type(v) for v in copy.values()] == [str, str, list, float, bool]
    assert message["tags"] == ("a", 1)


def test_a_tool_calls_arguments_become_a_dictionary():
    given = [
        {**CALLS, "tool_calls": [call("f", text) for text in ('{"é": [1]}', "", None, {"a": 1})]}
    ]
    calls = prepare(given, "string")[0]["tool_calls"]
    assert [c["function"]["arguments"] for c in calls] == [{"é": [1]}, {}, {}, {"a": 1}]
    assert given[0]["tool_calls"][0]["function"]["arguments"] == '{"é": [1]}'


def test_what_is_none_is_left_out():
    message = {"role": "assistant", "content": None, "reasoning": None, "name": None}
    assert prepare([message], "string") == [{"role": "assistant"}]
    assert prepare([{**message, "content": "x", "tool_calls": []}], "string") == [
        {"role": "assistant", "content": "x"}
    ]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "thinking"])
def test_reasoning_comes_under_the_name_that_templates_read(name):
    [copy] = prepare([{"role": "assistant", "content": "x", name: "hm"}], "string")
    assert copy["reasoning_content"] == copy["thinking"] == "hm"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "at least one message"),
        ("hi", "a conversation is a list of messages, got 'hi'"),
        (["hi"], "message 0 needs a 'role' and a 'content', got 'hi'"),
        ([{"content": "x"}], "message 0 needs a 'role'"),
        ([{"role": 3, "content": "x"}], "message 0 needs a 'role'"),
        ([{"role": "user"}], r"message 0 \(user\) has no 'content'"),
        ([{"role": "user", "content": 3}], r"content of message 0 \(user\) must be a string or a list of parts, got 3"),
        ([{"role": "user", "content": [3]}], r"only text parts are supported, got 3 in message 0"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "only text parts .* 'image_url'"),
        ([{"role": "user", "content": [{"type": "text"}]}], "only text parts"),
        ([{"role": "user", "content": "x", "at": object()}], r"got object in message 0 \(user\)"),
        ([{"role": "assistant", "tool_calls": ["f"]}], "a tool call must be .* got 'f' in message 0"),
        ([{"role": "assistant", "tool_calls": [call("f", "{")]}], "'f' must be a JSON object, got '{'"),
        ([{"role": "assistant", "tool_calls": [call("f", "[1]")]}], "'f' must be a JSON object"),
        ([{"role": "assistant", "tool_calls": [call("f", "[" * 10**5)]}], "'f' must be a JSON object"),
    ],
)  # fmt: skip
def test_bad_messages(messages, says):
    with pytest.raises(TemplateError, match=says) as caught:
        prepare(messages, "string")
    assert "\n" not in str(caught.value)


def test_tools():
    assert check_tools(None) is None
    assert check_tools(()) == []
    assert check_tools(TOOLS) == TOOLS
    assert check_tools(TOOLS)[0] is not TOOLS[0]


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        (TOOLS[0], "a list of OpenAI tool dictionaries"),
        ("get_weather", "a list of OpenAI tool dictionaries"),
        ([len], "a tool must be .* got <built-in function len>"),
        ([{"type": "function"}], "a tool must be"),
        ([{"name": "f", "parameters": {}}], "a tool must be"),
        ([{"type": "function", "function": {"name": 3}}], "a tool must be"),
    ],
)
def test_bad_tools(tools, says):
    with pytest.raises(ParamError, match=says):
        check_tools(tools)
