"""Content as text or as a list of parts, whichever a template reads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from ..errors import ParamError, TemplateError
from .sandbox import tree_of

FORMATS = ("auto", "string", "openai")


def format_of(template: str, asked: str) -> str:
    """How to give a message's content to `template`: "string", "openai" (parts) or "both".

    asked: "string" or "openai" is taken as it is. "auto" gives parts to a template that loops over
    the content, and text to any other. A template that tells the two apart gets what the user wrote.
    """
    if asked not in FORMATS:
        raise ParamError(
            f"chat_template_content_format must be one of {', '.join(FORMATS)}, got {asked!r}"
        )
    return _detected(template) if asked == "auto" else asked


def as_format(content: Any, content_format: str, where: str) -> Any:
    """Content in a format; text parts are joined by newlines. `TemplateError` for any other part."""
    if isinstance(content, str):
        return [_text(content)] if content_format == "openai" else content
    if not isinstance(content, list):
        raise TemplateError(
            f"the content of {where} must be a string or a list of parts, got {content!r}"
        )
    parts = [_text(part) if isinstance(part, str) else part for part in content]
    for part in parts:
        if (
            not isinstance(part, dict)
            or part.get("type") != "text"
            or not isinstance(part.get("text"), str)
        ):
            raise TemplateError(f"only text parts are supported, got {part!r} in {where}")
    return "\n".join(p["text"] for p in parts) if content_format == "string" else parts


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@lru_cache(maxsize=32)
def _detected(template: str) -> str:
    if (tree := tree_of(template)) is None:
        return "string"
    names = set(_names(tree))
    if not any(_is_content(loop.iter, names) for loop in tree.find_all(nodes.For)):
        return "string"
    tests = (test for test in tree.find_all(nodes.Test) if test.name == "string")
    return "both" if any(_is_content(test.node, names) for test in tests) else "openai"


def _names(tree: nodes.Template) -> Iterator[str]:
    """Variables and macro parameters that hold a message's content."""
    for assign in tree.find_all(nodes.Assign):
        if isinstance(assign.target, nodes.Name) and _is_content(assign.node):
            yield assign.target.name
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and (macro := macros.get(call.node.name)):
            for parameter, given in zip(macro.args, call.args, strict=False):
                if _is_content(given):
                    yield parameter.name


def _is_content(node: nodes.Node | None, names: set[str] | frozenset[str] = frozenset()) -> bool:
    if isinstance(node, nodes.Filter):
        return _is_content(node.node, names)
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    if isinstance(node, nodes.Name):
        return node.name in names
    return isinstance(node, nodes.Getattr) and node.attr == "content"
