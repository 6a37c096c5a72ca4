"""Conversations to prompts, and answers back to messages.

    templates   which template: the argument's, the LLM's or the tokenizer's
    messages    what a template is given: checked copies of plain data
    content     text or parts, whichever the template reads
    sandbox     the Jinja environment that templates run in
    rendering   the prompt of a conversation
    answers     reasoning and tool calls in what the model wrote

`LLM.chat` puts them together.
"""

from .answers import Style, parse, style_of
from .rendering import render
from .templates import (
    find_template,
    load_chat_template,
    load_if_path,
    template_hash,
    templates_of,
)

__all__ = [
    "Style",
    "find_template",
    "load_chat_template",
    "load_if_path",
    "parse",
    "render",
    "style_of",
    "template_hash",
    "templates_of",
]
