"""The reference of the magics, made of the parsers that read them.

```{magic} generate        what `%%generate?` says
```{magic-commands}        the commands of %nbllm
```{magic-config}          what %config Nbllm sets
"""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from nbllm.notebook.commands import HELP, PARSERS
from nbllm.notebook.magics import Nbllm


class Magic(SphinxDirective):
    """One magic: what it does, then a table of its arguments and flags."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        parser: ArgumentParser = getattr(Nbllm, self.arguments[0]).parser
        return self.parse_text_to_nodes("\n".join(_magic(parser)))


class MagicCommands(SphinxDirective):
    """What `%nbllm` prints."""

    def run(self) -> list[nodes.Node]:
        missing = [name for name in PARSERS if name != "help" and f"%nbllm {name}" not in HELP]
        assert not missing, f"%nbllm does not mention {missing}"
        return [nodes.literal_block(HELP, HELP, language="text")]


class MagicConfig(SphinxDirective):
    """The defaults that hold for every cell."""

    def run(self) -> list[nodes.Node]:
        traits = Nbllm.class_own_traits(config=True).items()
        rows = [
            f"| `Nbllm.{name}` | {trait.default_value} | {_cell(trait.help)} |"
            for name, trait in traits
        ]
        return self.parse_text_to_nodes("\n".join(["| | default | |", "|---|---|---|", *rows]))


def _magic(parser: ArgumentParser) -> Iterator[str]:
    """The Markdown of one magic."""
    yield from _literal(cleandoc(parser.description or "")).splitlines()
    yield ""
    yield "| | |"
    yield "|---|---|"
    for action in parser._actions:
        yield f"| {_flags(action)} | {_cell(action.help or '')} |"


def _flags(action: Action) -> str:
    names = action.option_strings or [action.dest]
    value = action.metavar if action.nargs != 0 and action.option_strings else None
    code = ", ".join(f"`{name}`" for name in names)
    return f"{code} *{_cell(str(value))}*" if value else code


def _literal(text: str) -> str:
    """Prose with flags and magics in it: those are code."""
    return re.sub(r"(?<![`\w-])(--[a-z][\w-]*)", r"`\1`", text)


def _cell(text: str) -> str:
    return _literal(text).replace("|", "\\|").replace("\n", " ")


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("magic", Magic)
    app.add_directive("magic-commands", MagicCommands)
    app.add_directive("magic-config", MagicConfig)
    return {"parallel_read_safe": True}
