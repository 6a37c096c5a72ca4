"""Tools beyond what a template does by itself: told to models whose template has no place for them,
and calls that have to be made, or to fit their schema, as grammars.

A model that knows no form of its own gets Hermes' (see `answers`), in the system message.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import meta

from ..errors import ParamError
from ..sampling_params import StructuredOutputsParams
from .answers import CLOSE_CALL, CLOSE_THINK, OPEN_CALL, OPEN_THINK, PYTHON_TAG, Style
from .content import as_format
from .messages import Message, check_tools, prepare
from .sandbox import tree_of

Tools = Sequence[Mapping[str, Any]]

ABOUT = """\
# Tools

You may call functions. Their signatures are within <tools></tools>:
<tools>
{tools}
</tools>

Return each call as JSON within <tool_call></tool_call>:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As `json.dumps` writes JSON, which models have read; see `engine.grammar`."""
ANYTHING = r"/(.|\n)*/"


@lru_cache(maxsize=32)
def names_in(template: str) -> frozenset[str]:
    """What a template asks for: "messages", "tools", "enable_thinking" …"""
    tree = tree_of(template)
    return frozenset(meta.find_undeclared_variables(tree) if tree else ())


def described(messages: Sequence[Any], tools: Tools) -> list[Message]:
    """The conversation with its tools, calls and their results written into the messages' text."""
    about = ABOUT.format(tools="\n".join(json.dumps(t, ensure_ascii=False) for t in tools))
    written = [_written(message) for message in prepare(messages, "string")]
    if written[0]["role"] != "system":
        return [{"role": "system", "content": about}, *written]
    first = {**written[0], "content": f"{written[0]['content']}\n\n{about}"}
    return [first, *written[1:]]


def _written(message: Message) -> Message:
    """A message of a role that every template knows."""
    content = as_format(message.get("content") or "", "string", "a message")
    if message["role"] == "tool":
        text = f"<tool_response>\n{content}\n</tool_response>"
        return {"role": "user", "content": text}
    calls = [_call(call["function"]) for call in message.get("tool_calls", ())]
    if not calls:
        return message
    return {"role": "assistant", "content": "\n".join([*([content] if content else ()), *calls])}


def _call(function: Mapping[str, Any]) -> str:
    said = {"name": function["name"], "arguments": function["arguments"]}
    return f"{OPEN_CALL}\n{json.dumps(said, ensure_ascii=False)}\n{CLOSE_CALL}"


def calls_only(tools: Tools, style: Style, *, single: bool) -> StructuredOutputsParams:
    """The answer is a call of one of the tools, or several unless `single`."""
    more = "" if single else f" ({_lark(_between(style))} call)*"
    rules = [f"body: call{more}", _rule_of_call(style), *_functions(tools, style)]
    return _behind_reasoning(rules, style)


def calls_as_declared(tools: Tools, style: Style) -> StructuredOutputsParams | None:
    """An answer in which calls of tools that are `strict` fit; None where no tool is."""
    if not any(tool["function"].get("strict") for tool in tools):
        return None
    loose = [t if t["function"].get("strict") else _without_parameters(t) for t in tools]
    functions = _functions(loose, style)
    if style.calls == "llama3":
        other = f"OTHER: /([^{{](.|\\n)*)?/ & ~/(.|\\n)*{_regex(PYTHON_TAG)}(.|\\n)*/"
        rules = ["body: call | OTHER", other, _rule_of_call(style), *functions]
    else:
        rules = [
            f"body: (before {_lark(chr(10))} function {_lark(chr(10) + CLOSE_CALL)})* REST",
            f"before[suffix={_lark(OPEN_CALL)}]: {ANYTHING}",
            f"REST: {ANYTHING} & ~/(.|\\n)*{OPEN_CALL}(.|\\n)*/",
            *functions,
        ]
    return _behind_reasoning(rules, style)


def behind_reasoning(wanted: StructuredOutputsParams, style: Style) -> StructuredOutputsParams:
    """What the answer has to look like, once the model has thought, where it does that.

    A grammar of the user's own, and one with a whitespace_pattern, hold from the first token.
    """
    if not style.reasons or wanted.grammar or wanted.whitespace_pattern:
        return wanted
    if wanted.regex is not None:
        body = "/" + wanted.regex.replace("/", r"\/") + "/"
    elif wanted.choice is not None:
        body = " | ".join(map(_lark, wanted.choice))
    else:
        schema = {"type": "object"} if wanted.json_object else wanted.json
        loaded = json.loads(schema) if isinstance(schema, str) else schema
        body = _json(loaded if isinstance(loaded, dict) else {})
    return _behind_reasoning([f"body: {body}"], style)


def _behind_reasoning(rules: Iterable[str], style: Style) -> StructuredOutputsParams:
    start, thought = "start: body", ()
    if style.reasons:
        think = f"thought[suffix={_lark(CLOSE_THINK)}]: {ANYTHING}"
        thought = think, r"gap: /\n{0,2}/"
        opened = "thought gap" if style.thinking else f"({_lark(OPEN_THINK)} thought gap)?"
        start = f"start: {opened} body"
    return StructuredOutputsParams(grammar="\n".join([start, *thought, *rules]))


def _between(style: Style) -> str:
    return "; " if style.calls == "llama3" else "\n"


def _rule_of_call(style: Style) -> str:
    if style.calls == "llama3":
        return "call: function"
    return f"call: {_lark(OPEN_CALL + chr(10))} function {_lark(chr(10) + CLOSE_CALL)}"


def _functions(tools: Tools, style: Style) -> list[str]:
    """Rules for what stands between the tags: a name, and arguments that fit its schema.

    Each schema is a grammar of its own, so that its references stay within it.
    """
    key = "parameters" if style.calls == "llama3" else "arguments"
    names = [f"function{i}" for i in range(len(tools))]
    rules = [f"function: {' | '.join(names)}"]
    for rule, tool in zip(names, check_tools(tools) or (), strict=True):
        function = tool["function"]
        before = _lark(f'{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "{key}": ')
        rules.append(f'{rule}: {before} {_json(_schema(function))} "}}"')
    return rules


def _schema(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", **(function.get("parameters") or {})}
    if schema["type"] != "object":
        raise ParamError(
            f"the parameters of {function['name']!r} must describe an object, got type "
            f"{schema['type']!r}"
        )
    return schema


def _without_parameters(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**tool, "function": {**tool["function"], "parameters": None}}


def _json(schema: Mapping[str, Any]) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": COMPACT})


def _lark(text: str) -> str:
    """A literal."""
    return json.dumps(text, ensure_ascii=False)


def _regex(text: str) -> str:
    return text.replace("|", r"\|")
