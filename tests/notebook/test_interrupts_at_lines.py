"""SIGINT before any line of the magics: what the engine has made is kept, and said in one line."""

import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

from nbllm import notebook, resident

FOLDER = str(Path(notebook.__file__).parent)
CELLS = {
    "generate": "%%generate out --over rows -m 2\nsay {{ x }}",
    "chat": "%%chat -m 2\nsay it",
    "beam": "%%beam out --trace t -w 2 -m 2\nsay it",
    "score": "%%score out --over rows\nsay {{ x }}",
    "choose": "%%choose out --over rows -c a -c bc\nsay {{ x }}",
    "compare": "%%compare out -m 2 --setting 'a -t 0' --setting 'b -t 1'\nsay it",
}


class SignalAtLine:
    """Sends SIGINT when the n-th line of the magics' files is about to run."""

    def __init__(self, at):
        self.at, self.count, self.where = at, 0, ""

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.at:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)
        return self


def traced(shell, cell, at):
    """(what IPython says of the cell, the tracer)."""
    tracer, before = SignalAtLine(at), sys.gettrace()
    sys.settrace(tracer)
    try:
        return shell.run_cell(cell), tracer
    finally:
        sys.settrace(before)


@pytest.fixture
def given(llm, monkeypatch):
    """What the fake's methods have returned, and what it has finished for a stream."""
    for name in ("beam_search", "score", "choose"):
        method = getattr(llm, name)

        def noted(*args, method=method, **options):
            outputs = method(*args, **options)
            llm.ended.update(enumerate(outputs))
            return outputs

        monkeypatch.setattr(llm, name, noted)
    return llm.ended


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CELLS)
def test_at_every_line(shell, llm, given, name, every, capsys):
    shell.user_ns["rows"] = pd.DataFrame({"x": ["a b", "c", "d"]})
    count = traced(shell, CELLS[name], -1)[1].count
    assert count > 100
    when_done = 0
    for at in range(1, count + 1, every):
        shell.run_line_magic("nbllm", "reset")
        shell.user_ns.pop("out", None)
        before = resident.last()
        given.clear()
        result, tracer = traced(shell, CELLS[name], at)
        case = tracer.where
        error = result.error_in_exec
        kept = resident.last() is not before
        # before a call has begun, and while its value is shown, an interrupt is IPython's
        assert error is None or isinstance(error, KeyboardInterrupt), case
        if error is not None and given:
            when_done += 1
            assert kept, case
        if kept:
            outputs = resident.last().outputs
            assert all(any(o is g for o in outputs) for g in given.values()), case
            if name == "chat" and given:
                assert len(shell.run_cell("%chat -m 1 on").result.messages) == 4, case
            if name != "chat":
                assert len(shell.user_ns["out"]) >= len(outputs), case
        assert llm.running == 0, case
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, case
    assert when_done
    capsys.readouterr()
