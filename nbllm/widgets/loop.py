"""The event loop that widgets' runs are tasks of.

The loop that delivers a widget's messages is no home for a run. It is the one that cells block, or,
in JupyterLab with ipykernel 7, a subshell's, which is gone when its page is closed. So runs have a
loop of their own, in a thread that begins with the first of them: each waits for tokens as a cell
does, one `Engine.step` a turn, and the engine's turns are fair between that thread and the others.
"""

from __future__ import annotations

import asyncio
import atexit
from functools import cache
from threading import Thread

PATIENCE = 5.0
"""Seconds that an interpreter which ends waits for the step under way."""


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop, running."""
    made = asyncio.new_event_loop()
    thread = Thread(target=made.run_forever, name="nbllm-widgets", daemon=True)
    thread.start()
    atexit.register(_stop, made, thread)
    return made


def _stop(made: asyncio.AbstractEventLoop, thread: Thread) -> None:
    # a thread that computes while the interpreter is taken apart would crash it
    made.call_soon_threadsafe(made.stop)
    thread.join(PATIENCE)
