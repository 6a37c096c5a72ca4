"""The examples in docstrings are executed, and every public name has one."""

import builtins
import doctest
import inspect

import pytest

import nbllm
from nbllm.entrypoints.chat_utils import load_chat_template
from nbllm.sampling_params import RequestOutputKind

WITHOUT = {
    # a notebook calls them, and makes what they take
    "load_ipython_extension",
    "unload_ipython_extension",
    "replay",
    "last",
    # a page shows them, tests/browser
    "widgets",
}
NAMES = {name: getattr(nbllm, name) for name in nbllm.__all__ if name not in WITHOUT}
OTHERS = {"load_chat_template": load_chat_template, "RequestOutputKind": RequestOutputKind}
METHODS = {
    f"LLM.{name}": method
    for name, method in inspect.getmembers(nbllm.LLM, inspect.isfunction)
    if not name.startswith("_")
}
FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def nothing_stays():
    """No model, and no builtin `_`, which doctest makes and IPython takes for gettext's."""
    yield
    nbllm.unload()
    vars(builtins).pop("_", None)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS, *METHODS])
def test_it_does_what_its_example_shows(name, tiny):
    obj = {**NAMES, **OTHERS, **METHODS}[name]
    names = {**NAMES, **OTHERS, "nbllm": nbllm, "llm": tiny}
    text = inspect.getdoc(obj) or ""
    example = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
    assert example.examples
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append)
    assert not result.failed, "".join(report)
