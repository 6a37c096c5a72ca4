"""How docstrings become pages."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs/extensions/docstrings.py"


@pytest.fixture(scope="module")
def converted():
    spec = importlib.util.spec_from_file_location("docstrings", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.converted


def test_parameters_at_a_line_and_after_a_sentence(converted):
    lines = ["prompts: one, or", "many. params: for all", "of them."]
    assert converted(lines, {"prompts", "params"}) == [
        "``prompts``", "    one, or many.", "``params``", "    for all of them.", "",
    ]  # fmt: skip


def test_several_in_one_and_words_before(converted):
    lines = ["All are optional.", "top_p, top_k: of tokens, and", "    on the next line"]
    assert converted(lines, {"top_p", "top_k"}) == [
        "All are optional.", "", "``top_p``, ``top_k``", "    of tokens, and on the next line", "",
    ]  # fmt: skip


def test_what_is_no_parameter_is_prose(converted):
    assert converted(["Errors: none", "of them."], {"prompts"}) == ["Errors: none of them.", ""]


def test_a_sentence_that_leaves_room_ends_a_paragraph(converted):
    assert converted(["One row.", "Another."], set()) == ["One row.", "", "Another.", ""]
    full = f"{'x' * 80}."
    assert converted([full, "Another."], set()) == [f"{full} Another.", ""]


def test_code_links_and_what_markup_would_read(converted):
    [line, _] = converted(["`LLM` and `f(x)` make a * b, a_ and |c|; `ParamError`."], set())
    assert line == (
        ":py:obj:`LLM <nbllm.LLM>` and ``f(x)`` make a \\* b, a\\_ and \\|c\\|; "
        ":py:obj:`ParamError <nbllm.errors.ParamError>`."
    )


def test_examples_stay_as_they_are(converted):
    lines = [">>> print('A sentence.')", "A sentence.", ">>> x = `1`"]
    assert converted(lines, {"x"}) == [*lines, ""]
