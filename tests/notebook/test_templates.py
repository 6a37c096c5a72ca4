"""`{{ name }}` and nothing else."""

import pytest
from IPython.core.error import UsageError

from nbllm.notebook.command_line import words
from nbllm.notebook.templates import Template


@pytest.mark.parametrize(
    "text",
    [
        "{a} {% if x %} {# c #} %} #} }} $x %d %s \\",
        "\n a \r\n\t\n\n",
        "",
        '{"a": {"b": [1, 2]}}',
        "{ {x} }",
    ],
)
def test_without_an_expression_a_text_is_itself(text):
    assert Template(text).render({"x": 1}) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n{{ x }}\n\n", "\n1\n\n"),
        ("{% if x %}{{ x }}{# c #}\n", "{% if x %}1{# c #}\n"),
        ("{{ d['k'] }}{{ d.k }}", "vv"),
        ('{{ "{{" }} {{x}} }}', "{{ 1 }}"),
        ("{{ html }}", "<b> & 'q'"),
        ("{{ d | tojson }}", '{"k": "v"}'),
        ("{{ l | join(', ') }} {{ l | length }}", "1, é 2"),
        ("{{ nope | default('?') }}", "?"),
        ("{{ template }}", "{{ x }}"),
    ],
)
def test_expressions(text, expected):
    names = {"x": 1, "d": {"k": "v"}, "l": [1, "é"], "html": "<b> & 'q'", "template": "{{ x }}"}
    assert Template(text).render(names) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ range(3) }}",
        "{{ x.__class__ }}",
        "{{ l.append(1) }}",
        "{{ d.update(a=1) }}",
        "{{ l.clear() }}",
        "{{ }}",
    ],
)
def test_what_the_sandbox_refuses(text):
    names = {"x": 1, "l": [1], "d": {}}
    with pytest.raises(UsageError, match="--raw"):
        Template(text).render(names)
    assert names == {"x": 1, "l": [1], "d": {}}


def test_words_keep_expressions_whole():
    line = """--stop {{ d["a b"] }} 'a b' x{{ y }}z "c\\"d" """
    assert words(line) == ["--stop", '{{ d["a b"] }}', "a b", "x{{ y }}z", 'c"d']
