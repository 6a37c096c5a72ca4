"""Text or parts: what a template reads, and what it is given."""

import pytest

from nbllm.chat import render
from nbllm.chat.content import as_format, format_of
from nbllm.errors import ParamError

LOOPS = "{% for m in messages %}{% for p in WHAT %}[{{ p.text }}]{% endfor %}{% endfor %}"
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize(
    "template",
    [
        LOOPS.replace("WHAT", "m['content']"),
        LOOPS.replace("WHAT", "m.content"),
        LOOPS.replace("WHAT", "m.content | list"),
        "{% for m in messages %}{% set c = m.content %}{% for p in c %}{{ p }}{% endfor %}{% endfor %}",
        "{% macro f(role, c) %}{% for p in c %}{{ p }}{% endfor %}{% endmacro %}"
        "{% for m in messages %}{{ f(m.role, m.content) }}{% endfor %}",
    ],
)
def test_a_template_that_loops_over_the_content_gets_parts(template):
    assert format_of(template, "auto") == "openai"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% set content = messages %}{% for c in content %}{{ c.content }}{% endfor %}",
        "{% for m in messages %}{% for c in m.tool_calls %}{{ c }}{% endfor %}{% endfor %}",
        "{% if %}",
        "",
    ],
)
def test_any_other_gets_text(template):
    assert format_of(template, "auto") == "string"


def test_of_the_published_ones_only_that_with_parts_takes_them(templates):
    found = {name: format_of(template, "auto") for name, template in templates.items()}
    assert found.pop("parts") == "both"
    assert set(found.values()) == {"string"}


def test_a_template_that_takes_both_gets_what_was_written(hf, tokenizer, templates):
    messages = [{"role": "user", "content": " x "}, {"role": "assistant", "content": PARTS}]
    text = render(tokenizer, messages, templates["parts"])
    assert text == hf.apply_chat_template(
        messages, chat_template=templates["parts"], tokenize=False, add_generation_prompt=True
    )
    assert "ab<end_of_turn>" in text


def test_parts_are_joined_by_newlines_for_a_template_of_texts(hf, tokenizer, templates):
    joined = [{"role": "user", "content": "a\nb"}]
    text = render(tokenizer, [{"role": "user", "content": [*PARTS[:1], "b"]}], templates["chatml"])
    assert text == hf.apply_chat_template(
        joined, chat_template=templates["chatml"], tokenize=False, add_generation_prompt=True
    )


def test_the_format_that_was_asked_for(tokenizer):
    for asked, want in [("openai", "False"), ("string", "True"), ("auto", "True")]:
        messages = [{"role": "user", "content": "x"}]
        template = "{{ messages[0].content is string }}"
        assert render(tokenizer, messages, template, content_format=asked) == want
    with pytest.raises(ParamError, match="one of auto, string, openai, got 'parts'"):
        format_of("", "parts")


def test_formats():
    assert as_format("a", "openai", "") == PARTS[:1]
    assert as_format(PARTS, "openai", "") == as_format(PARTS, "both", "") == PARTS
    assert as_format(PARTS, "string", "") == "a\nb"
    assert as_format([], "string", "") == ""
