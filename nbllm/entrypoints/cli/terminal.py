"""What a model says, on a terminal."""

from __future__ import annotations

import re
import sys

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def say(text: str, end: str = "") -> None:
    """Print at once. On a terminal a control character shows as its code: models may say anything."""
    if sys.stdout.isatty():
        text = _CONTROL.sub(lambda c: f"\\x{ord(c[0]):02x}", text)
    sys.stdout.write(text + end)
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a line that is not part of the output."""
    print(text, file=sys.stderr, flush=True)
