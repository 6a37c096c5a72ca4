"""Answers become messages: reasoning, content, tool calls; and nothing that was written is lost."""

import json
import pickle
import re
import time
from itertools import pairwise

import pytest
from chat_conversations import TOOLS
from hypothesis import example, given
from hypothesis import strategies as st

from nbllm.chat import Style, parse, render, style_of

HERMES = Style(calls="hermes", reasons=True)
LLAMA3 = Style(calls="llama3")
THINKS = Style(reasons=True)
INSIDE = Style(reasons=True, thinking=True)
HI = [{"role": "user", "content": "hi"}]


def said(text, style, **options):
    """(reasoning, content, calls) of an answer."""
    message = parse(text, style, **options)
    assert message["role"] == "assistant"
    assert set(message) == {"role", "content", "reasoning", "tool_calls"}
    assert all(set(c) == {"id", "type", "function"} for c in message["tool_calls"])
    return message["reasoning"], message["content"], calls_of(message)


def calls_of(message):
    calls = [c["function"] for c in message["tool_calls"]]
    return [(c["name"], json.loads(c["arguments"])) for c in calls]


def tagged(name="f", **arguments) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def bare(name="f", **arguments) -> str:
    return json.dumps({"name": name, "parameters": arguments})


def test_plain_answers_stay_as_they_are():
    for style in (Style(), HERMES, LLAMA3, THINKS):
        assert said(" hello\n", style) == (None, " hello\n", [])
        assert said("", style) == (None, "", [])


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (tagged(a=1), None, [("f", {"a": 1})]),
        (f"Let me see.\n{tagged()}\n{tagged('g', x='y')}", "Let me see.", [("f", {}), ("g", {"x": "y"})]),
        (f"one {tagged()} two {tagged()} three\n", "one\ntwo\nthree\n", [("f", {})] * 2),
        (tagged(a="</tool_call>"), None, [("f", {"a": "</tool_call>"})]),
        (tagged(a="<tool_call>"), None, [("f", {"a": "<tool_call>"})]),
        ('<tool_call>{"name":"f","arguments":{}}</tool_call>', None, [("f", {})]),
        ('<tool_call>{"arguments": {"é": "\\u00e9"}, "name": "f"}', None, [("f", {"é": "é"})]),
        ('<tool_call>{"name": "f", "arguments": {"a": "two\nlines"}}', None, [("f", {"a": "two\nlines"})]),
        ('<tool_call>{"type": "function", "name": "f", "parameters": {}}', None, [("f", {})]),
    ],
)  # fmt: skip
def test_hermes(text, content, calls):
    assert said(text, HERMES) == (None, content, calls)


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (bare(a=1), None, [("f", {"a": 1})]),
        (f"{bare()}; {bare('g', x=[1])}\n", None, [("f", {}), ("g", {"x": [1]})]),
        (f"{bare()}\n\n{bare('g')}", None, [("f", {}), ("g", {})]),
        ("<|python_tag|>" + bare("g"), None, [("g", {})]),
        ("I look it up. <|python_tag|>" + bare("g"), "I look it up.", [("g", {})]),
        ('{"type": "function", "name": "f", "parameters": {}}', None, [("f", {})]),
        ('{"name": "f", "arguments": {}}', None, [("f", {})]),
    ],
)
def test_llama3(text, content, calls):
    assert said(text, LLAMA3) == (None, content, calls)


BROKEN = [
    '{"name": "f", "arguments": {}',
    '{"name": "f"}',
    '{"name": "f", "arguments": "{}"}',
    '{"name": "f", "arguments": [1]}',
    '{"name": "f", "arguments": {}, "parameters": {}}',
    '{"name": "f", "arguments": {}, "because": "why"}',
    '{"name": 3, "arguments": {}}',
    '{"name": "", "arguments": {}}',
    '{"name": "f", "arguments": {"a": NaN}}',
    '{"name": "f", "arguments": {"a": 1e999}}',
    '{"name": "f", "arguments": {"a": "\\ud800"}}',
    '{"name": "f", "arguments": {"a": ' + "[" * 100 + "]" * 100 + "}}",
    '{"name": "f", "arguments": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}",
    '{"name": "f", "arguments": {"a": ' + "9" * 10_000 + "}}",
    "{'name': 'f', 'arguments': {}}",
    "__import__('os').system('true')",
    "[]",
    "",
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda text: text[:40])
def test_what_is_no_call_stays_content(broken):
    text = f"<tool_call>\n{broken}\n</tool_call>"
    assert said(text, HERMES) == (None, text, [])
    assert said(f"{text}\n{tagged()}", HERMES) == (None, text, [("f", {})])
    for text in (broken, "<|python_tag|>" + broken, f"{bare()}; {broken or 'x'}"):
        assert said(text, LLAMA3) == (None, text, [])


def test_llama3_calls_are_the_whole_answer():
    for text in ("Like this: " + bare(), bare() + " is a call", f"```\n{bare()}\n```"):
        assert said(text, LLAMA3) == (None, text, [])


def test_calls_are_read_only_where_the_style_has_them():
    for text in (tagged(), bare()):
        assert said(text, Style()) == (None, text, [])
    assert said(tagged(), LLAMA3) == (None, tagged(), [])


@pytest.mark.parametrize(
    ("text", "style", "reasoning", "content"),
    [
        ("<think>\nhm\n</think>\n\nhi\n", THINKS, "hm", "hi\n"),
        ("\n<think>hm</think>hi", THINKS, "hm", "hi"),
        ("<think>\n\n</think>\n\nhi", THINKS, None, "hi"),
        ("<think>\nnot done", THINKS, "not done", None),
        ("<think>", THINKS, None, ""),
        ("hm\n</think>\n\nhi", INSIDE, "hm", "hi"),
        ("<think>\nhm\n</think>\n\nhi", INSIDE, "hm", "hi"),
        ("not done", INSIDE, "not done", None),
        ("no tags", THINKS, None, "no tags"),
        ("hm</think>hi", THINKS, None, "hm</think>hi"),
        ("write <think>x</think>", THINKS, None, "write <think>x</think>"),
        ("<think>a</think>b<think>c</think>", THINKS, "a", "b<think>c</think>"),
        ("<think>end with `</think>`, then\n</think>\nok", THINKS, "end with `</think>`, then", "ok"),
        ("<think>a</think>b", Style(), None, "<think>a</think>b"),
        (f"<think>{tagged()}</think>b", HERMES, tagged(), "b"),
    ],
)  # fmt: skip
def test_reasoning(text, style, reasoning, content):
    assert said(text, style) == (reasoning, content, [])


def test_reasoning_then_words_then_a_call():
    assert said(f"<think>\nhm\n</think>\n\nok\n{tagged()}", HERMES) == ("hm", "ok", [("f", {})])


def test_ids_tell_calls_apart_and_are_repeatable():
    text = tagged() + tagged() + tagged("g")
    ids = [c["id"] for c in parse(text, HERMES, id="7-0-0")["tool_calls"]]
    assert ids == [c["id"] for c in parse(text, HERMES, id="7-0-0")["tool_calls"]]
    assert len({*ids, *(c["id"] for c in parse(text, HERMES, id="7-1-0")["tool_calls"])}) == 6
    assert all(re.fullmatch("[0-9a-z]{9}", id) for id in ids)


STYLES = {
    "chatml": (None, False),
    "llama3": (None, False),
    "mistral_tools": (None, False),
    "hermes_tools": ("hermes", False),
    "llama31_tools": ("llama3", False),
    "qwen3": ("hermes", True),
    "qwen3_thinking": (None, True),
}


@pytest.mark.parametrize("name", STYLES)
def test_the_template_tells_the_style(tokenizer, templates, name):
    template, (calls, reasons) = templates[name], STYLES[name]
    prompt = render(tokenizer, HI, template)
    thinking = name == "qwen3_thinking"
    want = Style(calls=calls, reasons=reasons, thinking=thinking)
    assert style_of(template, prompt, tools=True) == want
    assert style_of(template, prompt, tools=False).calls is None
    assert pickle.loads(pickle.dumps(want)) == want


def test_llama_3_2_has_headers_and_parameters_and_no_python_tag():
    assert style_of('<|start_header_id|> {"parameters": …}', "", tools=True).calls == "llama3"
    assert style_of("<|start_header_id|>", "", tools=True).calls is None
    assert style_of("a <|python_tag|>", "", tools=True).calls == "llama3"


def test_an_answer_that_goes_on_inside_its_reasoning(templates):
    def thinking(content):
        final = {"role": "assistant", "content": content}
        return style_of(templates["qwen3"], "… <think>", tools=False, final=final).thinking

    assert thinking("<think>\nhm")
    assert thinking([{"type": "text", "text": "<think>\nhm"}])
    assert not thinking("<think>hm</think> well")
    assert not thinking("well")


def test_a_user_who_mentions_the_tag_opens_nothing(tokenizer, templates):
    prompt = render(tokenizer, [{"role": "user", "content": "what is <think>"}], templates["qwen3"])
    assert not style_of(templates["qwen3"], prompt, tools=False).thinking


WORDS = st.text(min_size=1).map(str.strip).filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
CALLS = st.tuples(st.from_regex(r"[\w.-]{1,9}", fullmatch=True), st.dictionaries(st.text(), JSON))
ENDS = {"hermes_tools": "<|im_end|>\n", "qwen3": "<|im_end|>\n", "llama31_tools": "<|eot_id|>"}


def answer_in(tokenizer, template, name, message) -> str:
    """What the model would have had to write for the template to render `message`."""
    options = {"tools": TOOLS, "template_kwargs": {"date_string": "today"}}
    prompt = render(tokenizer, HI, template, **options)
    whole = render(tokenizer, [*HI, message], template, add_generation_prompt=False, **options)
    assert whole.startswith(prompt)
    assert whole.endswith(ENDS[name])
    return whole[len(prompt) : -len(ENDS[name])]


def openai(calls):
    functions = [{"name": n, "arguments": json.dumps(a)} for n, a in calls]
    return [{"id": "123456789", "type": "function", "function": f} for f in functions]


@given(
    content=st.none() | WORDS,
    calls=st.lists(CALLS, min_size=1, max_size=3),
    reasoning=st.none() | WORDS,
    name=st.sampled_from(["hermes_tools", "qwen3"]),
)
def test_what_a_template_writes_is_read_back(tokenizer, templates, content, calls, reasoning, name):
    reasoning = reasoning if name == "qwen3" else None
    message = {
        "role": "assistant",
        "content": content,
        "tool_calls": openai(calls),
        "reasoning": reasoning,
    }
    text = answer_in(tokenizer, templates[name], name, message)
    style = style_of(templates[name], "", tools=True)
    assert said(text, style) == (reasoning, content, calls)


@given(call=CALLS)
def test_what_llamas_template_writes_is_read_back(tokenizer, templates, call):
    template = templates["llama31_tools"]
    message = {"role": "assistant", "tool_calls": openai([call])}
    text = answer_in(tokenizer, template, "llama31_tools", message)
    assert said(text, style_of(template, "", tools=True)) == (None, None, [call])


FRAGMENTS = [
    *["<tool_call>", "</tool_call>", "<think>", "</think>", "<|python_tag|>", "<", "<tool"],
    *["\n", " ", "`", "{", "}", ";", '"', "word@", tagged(a="@"), bare(a="@")],
    '{"name": "f", "arguments": {"a": "@"}}',
]
PIECES = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(
    lambda pieces: re.sub("@", lambda m: str(m.start()), "".join(pieces))
)
ANY_STYLE = st.builds(
    Style, calls=st.sampled_from(["hermes", "llama3", None]), reasons=st.just(True), thinking=st.booleans()
)  # fmt: skip


@given(text=PIECES, style=ANY_STYLE)
@example(text="<think>a</think>", style=HERMES)
@example(text=f"a {bare()} b", style=LLAMA3)
def test_nothing_is_lost(text, style):
    """Every word is in the reasoning, the content or a call's arguments, once and in order."""
    message = parse(text, style)
    parts = [message["reasoning"] or "", message["content"] or ""]
    arguments = [c["function"]["arguments"] for c in message["tool_calls"]]
    assert sorted(re.findall(r"\d+", " ".join(parts + arguments))) == sorted(
        re.findall(r"\d+", text)
    )
    for part in parts:
        numbers = re.findall(r"\d+", part)
        assert numbers == [n for n in re.findall(r"\d+", text) if n in numbers]
    if not message["tool_calls"] and not style.thinking and "think>" not in text:
        assert message["content"] == text


@given(text=PIECES, style=ANY_STYLE)
@example(text="<think>`</think>` a</think>b", style=THINKS)
@example(text=f"a\n{tagged()} b {tagged()}", style=HERMES)
def test_a_growing_answer_never_takes_anything_back(text, style):
    shown = [parse(text[:n], style, partial=True) for n in range(len(text) + 1)]
    shown.append(parse(text, style))
    for before, after in pairwise(shown):
        for key in ("reasoning", "content"):
            assert (after[key] or "").startswith(before[key] or "")
        assert after["tool_calls"][: len(before["tool_calls"])] == before["tool_calls"]


def test_a_growing_answer_holds_back_what_may_become_a_tag():
    assert said("ok <tool", HERMES, partial=True) == (None, "ok", [])
    assert said("<thi", THINKS, partial=True) == (None, "", [])
    assert said("<think>hm</th", THINKS, partial=True) == ("hm", None, [])
    assert said(f"{tagged()}\n<tool_call>", HERMES, partial=True) == (None, None, [("f", {})])
    assert said(bare(), LLAMA3, partial=True) == (None, "", [])


BIG = 1_000_000
HOSTILE = [
    "<tool_call>",
    "<tool_call>{",
    '<tool_call>{"name":"f","arguments":{"a":"',
    '<tool_call>{"a":[',
    "<tool_call>" + " " * 50,
    "</tool_call>",
    tagged(),
    "<think>",
    "`</think>`",
    "[",
    '{"a":',
    '"\\',
    bare() + ";",
    "<|python_tag|>{",
    " ",
    "\n;",
]


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
@pytest.mark.parametrize("style", [HERMES, LLAMA3, INSIDE], ids=["hermes", "llama3", "thinking"])
@pytest.mark.parametrize("partial", [False, True])
def test_the_work_is_bounded(unit, style, partial):
    """Without `MAX_CALLS` some of these take more than ten seconds."""
    for begin in ("", '{"name": "f", "parameters": ', "<tool_call>"):
        text = begin + unit * (BIG // len(unit))
        start = time.process_time()
        parse(text, style, partial=partial)
        assert time.process_time() - start < 2
