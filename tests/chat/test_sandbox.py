"""What a template may not do, and how it says what went wrong: in one line."""

import pytest

from nbllm.chat.sandbox import run, tree_of
from nbllm.errors import TemplateError

MESSAGES = [{"role": "user", "content": "hi"}]
ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ messages[0]['content'].__init__.__globals__ }}",
    "{{ (''|attr('__class__')).__mro__ }}",
    "{{ (['']|map(attribute='__class__')|first).mro() }}",
    "{{ dict.mro() }}",
    "{{ raise_exception.__globals__['json'] }}",
    "{{ strftime_now.__globals__['json'] }}",
    "{{ raise_exception.__code__.co_consts[0] }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ self.__init__.__globals__ }}",
    "{% set f = ''.format %}{{ f.__self__.x }}",
    "{{ '{0.__class__.__mro__}'.format(3) | int + 'x' }}",
    "{{ (namespace(__class__=1)).x }}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends '/etc/passwd' %}",
]
CHANGES = [
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='x') }}",
    "{{ messages.clear() }}",
    "{{ messages[0].pop('role') }}",
]


@pytest.mark.parametrize("template", ESCAPES + CHANGES)
def test_no_way_out(template):
    messages = [dict(m) for m in MESSAGES]
    with pytest.raises(TemplateError, match="the chat template failed") as caught:
        run(template, {"messages": messages})
    assert messages == MESSAGES
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("template", ["{{ x.__class__ }}", "{{ x|attr('__class__') }}"])
def test_what_is_hidden_is_undefined(template):
    assert run(template, {"x": 1}) == ""


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% if %}", "not valid Jinja: line 1: Expected an expression"),
        ("a\n{% for m in x %}", "not valid Jinja: line 2: Unexpected end of template"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "not valid Jinja"),
        ("{{ x | no_such_filter }}", "not valid Jinja: line 1: No filter named 'no_such_filter'"),
        ("{{ raise_exception('be kind') }}", "refused the messages: be kind$"),
        ("{{ raise_exception() }}", "failed: TypeError"),
        ("{{ messages[9].content }}", "failed: UndefinedError: list object has no element 9"),
        ("{{ 1 / 0 }}", "failed: ZeroDivisionError: division by zero"),
        ("{{ 'a' + 1 }}", "failed: TypeError"),
        ("{{ range(10 ** 9) | list }}", "failed: OverflowError: Range too big"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "failed: RecursionError"),
        ("{{ ('x' | tojson(indent=2)) | no }}", "not valid Jinja"),
        ("{{ raise_exception | tojson }}", "failed: TypeError: .* not JSON serializable"),
        ("{{ strftime_now(3) }}", "failed: TypeError"),
    ],
)
def test_errors(template, says):
    with pytest.raises(TemplateError, match=says) as caught:
        run(template, {"messages": MESSAGES})
    assert "\n" not in str(caught.value)


def test_what_templates_are_given():
    template = (
        "{% generation %}{{ {'b': 'é<&>', 'a': 1} | tojson(sort_keys=true) }}{% endgeneration %}"
        "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}"
        "{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        "{% set n = namespace({'x': 1}, y=2) %}{% set n.x = 5 %}{{ n.x + n.y }}"
        "{{ strftime_now('%Y') | length }}{{ dict(a=1).a }}"
    )
    assert run(template, {}) == '{"a": 1, "b": "é<&>"}02741'


def test_blocks_leave_no_lines_of_their_own():
    assert run("a\n    {% if true %}\nb\n    {% endif %}\nc\n", {}) == "a\nb\nc"


def test_an_invalid_template_has_no_tree():
    assert tree_of("{% if %}") is None
