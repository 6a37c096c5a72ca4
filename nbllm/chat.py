"""Conversations to prompts: which template, rendered how.

Templates come with models, so they are untrusted: they run in Jinja2's immutable sandbox, with
the functions, filters and extensions that `transformers` gives them and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .engine.text import Tokenizer
from .errors import ParamError, TemplateError
from .models.load import read_json

Message = dict[str, Any]
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")
CONTENT_FORMATS = ("auto", "string", "openai")


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's words for training; it only prints them."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # a scope, so that the body may set variables as in transformers
        return nodes.Scope(body, lineno=line)


@lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    try:
        return _environment().from_string(source)
    except jinja2.TemplateError as error:
        raise TemplateError(f"the chat template is not valid Jinja: {error}") from None


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    return environment


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    # Jinja's own escapes HTML, which no model was trained on
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str):
    raise jinja2.TemplateError(message)


def load_chat_template(chat_template: str | Path | None) -> str | None:
    """A chat template from a file or a literal.

    `chat_template` is opened as a file; a string that cannot be opened is the template itself when
    it holds `{`, `}` or a newline, and a missing file (`TemplateError`) otherwise. None stays None.
    """
    if chat_template is None:
        return None
    try:
        return Path(chat_template).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(chat_template, str) and any(c in chat_template for c in "{}\n"):
            return chat_template
        reason = getattr(error, "strerror", None) or error
        raise TemplateError(
            f"cannot open the chat template {str(chat_template)!r}: {reason}; pass the path of a "
            "template file, or the template itself"
        ) from None


def load_if_path(template: str | Path | None, tokenizer: Tokenizer) -> str | None:
    """A template given as a file, as text, or by one of the tokenizer's names; None stays None."""
    known = templates_of(tokenizer)
    return known[str(template)] if str(template) in known else load_chat_template(template)


def templates_of(tokenizer: Tokenizer) -> dict[str, str]:
    """A tokenizer's templates by name; the only one, or the main one, is "default"."""
    found: dict[str, str] = {}
    given = tokenizer.config.get("chat_template")
    if isinstance(given, str):
        found["default"] = given
    elif given:
        found |= given if isinstance(given, dict) else {t["name"]: t["template"] for t in given}
    if folder := tokenizer.folder:
        if text := read_json(folder / "chat_template.json").get("chat_template"):
            found["default"] = text
        if (folder / "chat_template.jinja").is_file():
            found["default"] = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
            found[path.stem] = path.read_text(encoding="utf-8")
    return found


def find_template(
    tokenizer: Tokenizer, argument: str | Path | None, own: str | None, *, tools: bool = False
) -> str:
    """The template to use: the argument, else the LLM's own, else the tokenizer's.

    An argument may name one of the tokenizer's templates. Raises `TemplateError` when there is none.
    """
    if (given := load_if_path(argument, tokenizer) or own) is not None:
        return given
    known = templates_of(tokenizer)
    if tools and "tool_use" in known:
        return known["tool_use"]
    if "default" in known:
        return known["default"]
    if known:
        raise TemplateError(
            f"the tokenizer has several chat templates: pass chat_template= one of {', '.join(known)}"
        )
    raise TemplateError(
        "the model has no chat template (base models have none): pass chat_template=, a file or a "
        "string, or use generate() with a plain prompt"
    )


def template_hash(template: str) -> str:
    """Identifies a template in a record of what was run."""
    return hashlib.sha256(template.encode()).hexdigest()[:16]


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    template: str,
    *,
    content_format: str = "auto",
    add_generation_prompt: bool = True,
    continue_final_message: bool = False,
    tools: list[dict[str, Any]] | None = None,
    **kwargs: Any,
) -> str:
    """The prompt of a conversation. Raises `TemplateError` with the template's own message."""
    if add_generation_prompt and continue_final_message:
        raise ParamError(
            "add_generation_prompt and continue_final_message exclude each other: one begins a new "
            "answer, the other continues the last message"
        )
    messages = with_content(check_messages(messages), _format_of(template, content_format))
    special = {name: t for name in SPECIAL_TOKENS if (t := tokenizer.special_token(name))}
    try:
        text = _compiled(template).render(
            **{**special, **kwargs},
            messages=messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
        )
    except jinja2.TemplateError as error:
        raise TemplateError(f"the chat template refused the messages: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise TemplateError(f"the chat template failed: {type(error).__name__}: {error}") from None
    return _cut_after(text, messages[-1]) if continue_final_message else text


def check_messages(messages: Sequence[Message]) -> list[Message]:
    """The messages as a list. Raises `TemplateError` for what is no conversation."""
    messages = list(messages)
    if not messages:
        raise TemplateError("a conversation needs at least one message")
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise TemplateError(f"message {i} needs a 'role' and a 'content', got {message!r}")
        if "content" not in message and not message.get("tool_calls"):
            raise TemplateError(f"message {i} ({message['role']}) has no 'content'")
    return messages


def with_content(messages: list[Message], content_format: str) -> list[Message]:
    """Copies of the messages whose content is a string, or a list of parts, as the template wants."""
    return [
        {**m, "content": _content(m["content"], content_format)} if "content" in m else dict(m)
        for m in messages
    ]


def _content(content: Any, content_format: str) -> Any:
    if content is None:
        return content
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content_format == "openai" else content
    parts = [{"type": "text", "text": p} if isinstance(p, str) else p for p in content]
    for part in parts:
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise TemplateError(f"only text parts are supported, got {part!r}")
    return parts if content_format == "openai" else "\n".join(p["text"] for p in parts)


def _format_of(template: str, asked: str) -> str:
    if asked not in CONTENT_FORMATS:
        raise ParamError(
            f"chat_template_content_format must be one of {', '.join(CONTENT_FORMATS)}, got {asked!r}"
        )
    if asked != "auto":
        return asked
    return "openai" if _iterates_content(template) else "string"


@lru_cache(maxsize=32)
def _iterates_content(template: str) -> bool:
    """Whether the template loops over a message's content, as OpenAI's list of parts."""
    try:
        tree = _environment().parse(template)
    except jinja2.TemplateError:
        return False  # rendering will say what is wrong
    return any(_is_content(loop.iter) for loop in tree.find_all(nodes.For))


def _is_content(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter):
        return node.node is not None and _is_content(node.node)
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    return isinstance(node, nodes.Getattr) and node.attr == "content"


def _cut_after(text: str, message: Message) -> str:
    """The text up to the end of the final message, without what the template puts behind it."""
    content = message.get("content") or ""
    content = content if isinstance(content, str) else content[-1]["text"]
    if (at := text.rfind(content.strip())) < 0 or not content.strip():
        raise TemplateError(
            "continue_final_message: the final message does not appear in the rendered prompt, so "
            "there is nothing to continue"
        )
    # templates often strip; what the author typed at the end is where the answer goes on
    end = at + len(content.strip())
    tail = content[len(content.rstrip()) :]
    return text[:end] + (tail if text[end:].startswith(tail) else "")
