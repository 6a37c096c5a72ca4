"""The flags that say which conversation goes on, and from where."""

from __future__ import annotations

from IPython.core.magic_arguments import argument

SYSTEM = argument("--system", metavar="TEXT", help="what the model is told first")
NAME = argument(
    "--name", metavar="NAME", help="a conversation of this name, instead of the usual one"
)
RESET = argument("--reset", action="store_true", help="forget the conversation first")
FROM = argument(
    "--from", dest="from_", metavar="VARIABLE",
    help="begin from a conversation, a result, a list of messages, or to_json()'s text",
)  # fmt: skip
TEMPLATE = argument(
    "--template", metavar="FILE",
    help="the conversation's chat template: a file, a name of one that the model brings, or the text",
)  # fmt: skip
TRIM = argument(
    "--trim", action="store_true", help="leave out the oldest turns when they do not fit"
)
CHATUI_FLAGS = (SYSTEM, NAME, RESET, FROM, TEMPLATE, TRIM)
