"""The comm `nbllm.control`: what the JupyterLab extension asks of a kernel, also while a cell runs.

The extension opens it with {"period"}, and is told {"status"}, as of views/status.py, every so many
seconds if it has changed; {"gone"} when nbllm is unloaded. A question is {"id", "ask": name, …}, its answer {"id", "answer"} or {"id",
"error"}; where the kernel has subshells it is handled on the thread of one, beside the cell.

    stop                        ends the run of the cell: {"ended": whether there was one, "busy":
                                whether a cell runs}
    abort  model, request_id    ends what the status lists: how many completions that were
    sleep, wake, unload  model  what `%nbllm` does
    complete  before            what may follow a cell up to the cursor: {"start", "items"}
    frames                      the user's DataFrames: name, number of rows, names of columns
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import __version__, resident
from ..errors import NbllmError
from .reporter import PERIOD, Reporter

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .interrupts import Stop
    from .magics import Nbllm

TARGET = "nbllm.control"
MAX_COLUMNS = 100
_GONE = list[Any]()
"""Comms of pages that are gone: one that is collected says so to every page, which logs an error."""


class Control:
    """Answers for one extension."""

    def __init__(self, magics: Nbllm):
        self._comms, self._reporter = list[Any](), Reporter(_status)
        self._answers: dict[str, Callable[..., Any]] = {
            "stop": partial(_stop, magics.runs.stop),
            "abort": _abort,
            "sleep": lambda model: resident.current(model).sleep(),
            "wake": lambda model: resident.current(model).wake_up(),
            "unload": lambda model: resident.unload(model),
            "complete": partial(_complete, magics),
            "frames": partial(_frames, magics),
        }

    def add(self, shell: InteractiveShell) -> None:
        """Be there for whoever opens the comm; outside of a kernel nobody does."""
        if (manager := _manager(shell)) is not None:
            manager.register_target(TARGET, self.opened)

    def remove(self, shell: InteractiveShell) -> None:
        """Undo `add`, and tell whoever has opened the comm."""
        if (manager := _manager(shell)) is None:
            return
        manager.unregister_target(TARGET, self.opened)
        for comm in list(self._comms):
            self._closed(comm)
            # no comm_close: every page gets it, and logs an error for comms of other pages
            comm.send({"gone": True})
            manager.unregister_comm(comm)

    def opened(self, comm: Any, message: Any) -> None:
        """A front end has opened the comm."""
        self._comms.append(comm)
        comm.on_msg(lambda message: comm.send(self.reply(message["content"]["data"])))
        comm.on_close(lambda message: self._closed(comm))
        self._reporter.add(comm, message["content"]["data"].get("period", PERIOD))

    def _closed(self, comm: Any) -> None:
        _GONE.append(comm)
        self._comms.remove(comm)
        self._reporter.remove(comm)

    def reply(self, question: dict[str, Any]) -> dict[str, Any]:
        """What to send back."""
        given = dict(question)
        id, name = given.pop("id", None), given.pop("ask", None)
        if name not in self._answers:
            return {"id": id, "error": f"nbllm {__version__} has no answer to {name!r}"}
        try:
            return {"id": id, "answer": self._answers[name](**given)}
        except (NbllmError, TypeError) as error:
            # TypeError: an extension of another version asks with other arguments
            return {"id": id, "error": f"{type(error).__name__}: {error}"}


def _stop(stop: Stop) -> dict[str, bool]:
    return {"ended": stop(), "busy": stop.in_cell}


def _status() -> dict[str, Any]:
    from ..views.status import status

    return status()


def _abort(model: str, request_id: str) -> int:
    return resident.current(model).abort(request_id)


def _complete(magics: Nbllm, before: str) -> dict[str, Any]:
    from .completion import suggestions

    start, found = suggestions(magics, before)
    return {"start": start, "items": [asdict(each) for each in found]}


def _frames(magics: Nbllm) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "num_rows": len(value),
            "columns": [str(c) for c in value.columns[:MAX_COLUMNS]],
        }
        for name, value in list(magics.shell.user_ns.items())
        if type(value).__name__ == "DataFrame" and name[0] != "_"
    ]


def _manager(shell: InteractiveShell) -> Any:
    return getattr(getattr(shell, "kernel", None), "comm_manager", None)
