"""Finding the template of a conversation."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..engine.text import Tokenizer
from ..errors import TemplateError
from ..models.load import read_json


def load_chat_template(chat_template: str | Path | None) -> str | None:
    """A chat template from a file or a literal.

    `chat_template` is opened as a file; a string that cannot be opened is the template itself when
    it holds `{`, `}` or a newline, and a missing file (`TemplateError`) otherwise. None stays None.

    >>> load_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}")
    '{% for message in messages %}{{ message.content }}{% endfor %}'
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

    An argument may name one of the tokenizer's templates. With tools the one called "tool_use"
    goes before "default". Raises `TemplateError` when there is none.
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
