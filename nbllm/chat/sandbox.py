"""The Jinja environment of chat templates.

Templates come with models, so they are untrusted: they run in Jinja2's immutable sandbox, with the
functions, filters and extensions that `transformers` gives them and nothing else, on plain data.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from ..errors import TemplateError


class _Refusal(jinja2.TemplateError):
    """What a template raises by itself."""


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's words for training; it only prints them."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # a scope, so that the body may set variables as in transformers
        return nodes.Scope(body, lineno=line)


class _Namespace(Namespace):
    """Jinja's, without names that reach into Python: what is set here, the sandbox never sees."""

    def __init__(*args: Any, **values: Any) -> None:
        # `self` is positional here, so that a template may call a value that
        self, *given = args
        values = dict(*given, **values)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace may not hold {name!r}")


def run(template: str, values: dict[str, Any]) -> str:
    """What `template` prints for `values`; `TemplateError` in one line for whatever it raises."""
    try:
        return _compiled(template).render(values)
    except TemplateError:
        raise
    except _Refusal as error:
        raise TemplateError(f"the chat template refused the messages: {one_line(error)}") from None
    except Exception as error:  # a template is somebody else's program: it may raise anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise TemplateError(f"the chat template failed: {reason}") from None


def tree_of(template: str) -> nodes.Template | None:
    """The syntax tree; None for what is not valid Jinja, of which `run` will say what is wrong."""
    try:
        return _environment().parse(template)
    except jinja2.TemplateError:
        return None


def one_line(error: Exception) -> str:
    """An error's message without its line breaks."""
    return re.sub(r"\s*\n\s*", " ", str(error)).strip()


@lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    try:
        return _environment().from_string(source)
    except (jinja2.TemplateError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise TemplateError(
            f"the chat template is not valid Jinja: {line}{one_line(error)}"
        ) from None


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    environment.globals["namespace"] = _Namespace
    return environment


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    # Jinja's own escapes HTML, which no model was trained on
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str):
    raise _Refusal(message)
