"""A rendered conversation equals what `transformers` makes of it; a refusal is the template's own."""

import copy
import json
import re

import jinja2
import pytest
from chat_conversations import CONVERSATIONS, TOOLS
from hypothesis import given
from hypothesis import strategies as st

from nbllm.chat import render
from nbllm.errors import ParamError, TemplateError

MODES = {
    "a new answer": {"add_generation_prompt": True},
    "no answer": {"add_generation_prompt": False},
    "continued": {"add_generation_prompt": False, "continue_final_message": True},
}
DATE = {"date_string": "26 Jul 2024"}
HI = [{"role": "user", "content": "hi"}]


def theirs(hf, template, messages, tools=None, **options) -> str | Exception:
    """What transformers makes of it: a text, or its error."""
    try:
        return hf.apply_chat_template(
            for_them(messages), tools, chat_template=template, tokenize=False, **options
        )
    except Exception as error:
        return error


def for_them(messages):
    """transformers leaves a tool call's arguments as they come; templates want them as dictionaries."""
    messages = copy.deepcopy(messages)
    for call in (c for m in messages for c in m.get("tool_calls") or []):
        if isinstance(call["function"]["arguments"], str):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def ours(tokenizer, template, messages, tools=None, **options) -> str | Exception:
    mode = {
        k: options.pop(k)
        for k in ("add_generation_prompt", "continue_final_message") & options.keys()
    }
    try:
        return render(tokenizer, messages, template, tools=tools, template_kwargs=options, **mode)
    except TemplateError as error:
        return error


def assert_same(mine, want):
    if isinstance(want, str):
        assert mine == want
        return
    assert isinstance(mine, TemplateError)
    if isinstance(want, jinja2.TemplateError):
        assert str(want) in str(mine)
    assert "\n" not in str(mine)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_equals_apply_chat_template(hf, tokenizer, template, name, mode):
    for tools in [None, TOOLS] if "tool" in name else [None]:
        case = (template, CONVERSATIONS[name], tools)
        options = {**MODES[mode], **DATE}
        assert_same(ours(tokenizer, *case, **options), theirs(hf, *case, **options))


def test_most_of_these_are_texts(hf, tokenizer, template):
    """Not two errors that happen to agree."""
    rendered = [
        ours(tokenizer, template, messages, **MODES[mode], **DATE)
        for messages in CONVERSATIONS.values()
        for mode in MODES
    ]
    assert sum(isinstance(text, str) for text in rendered) > len(rendered) / 2


@pytest.mark.parametrize("thinking", [True, False])
def test_template_kwargs(hf, tokenizer, templates, thinking):
    options = {"enable_thinking": thinking, "add_generation_prompt": True}
    text = ours(tokenizer, templates["qwen3"], HI, **options)
    assert text == theirs(hf, templates["qwen3"], HI, **options)
    assert text.endswith("</think>\n\n") is not thinking


def test_special_tokens_may_be_replaced(hf, tokenizer, templates):
    options = {"bos_token": "<other>", "add_generation_prompt": True}
    text = ours(tokenizer, templates["gemma"], HI, **options)
    assert text == theirs(hf, templates["gemma"], HI, **options)
    assert text.startswith("<other><start_of_turn>")


def test_what_a_template_can_ask_for(hf, tokenizer):
    template = "{{ documents is defined }}{{ tools is none }}{{ unk_token is defined }}"
    assert ours(tokenizer, template, HI) == theirs(hf, template, HI) == "TrueTrueFalse"


def test_token_ids_have_no_second_bos(hf, tokenizer, template):
    messages = CONVERSATIONS["two turns"]
    text = render(tokenizer, messages, template)
    want = hf.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, return_dict=False
    )
    assert tokenizer.encode(text, add_special_tokens=False) == want


ROLES = st.sampled_from(["user", "assistant"]) | st.sampled_from(["system", "tool", "critic"])
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLES, "content": st.text(max_size=8)}), min_size=1, max_size=5
)


@given(messages=MESSAGES, mode=st.sampled_from(list(MODES)), data=st.data())
def test_any_conversation(hf, tokenizer, templates, messages, mode, data):
    template = templates[data.draw(st.sampled_from(list(templates)))]
    options = {**MODES[mode], **DATE}
    mine = ours(tokenizer, template, messages, **options)
    assert_same(mine, theirs(hf, template, messages, **options))


REFUSALS = {
    "llama2": [HI + HI, "Conversation roles must alternate user/assistant/user/assistant/..."],
    "gemma": [[{"role": "system", "content": "x"}, *HI], "System role not supported"],
    "mistral": [
        [{"role": "system", "content": "x"}],
        "After the optional system message, conversation roles must alternate "
        "user/assistant/user/assistant/...",
    ],
    "llama31_tools": [
        [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}] * 2}],
        "This model only supports single tool-calls at once!",
    ],
    "mistral_tools": [
        [*HI, {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}],
        "Tool call IDs should be alphanumeric strings with length 9!",
    ],
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_the_templates_own_message(tokenizer, templates, name):
    messages, refusal = REFUSALS[name]
    with pytest.raises(TemplateError, match=re.escape(refusal) + "$"):
        render(tokenizer, messages, templates[name])


def test_a_refusal_of_several_lines_is_shown_in_one(tokenizer):
    with pytest.raises(TemplateError, match=r"messages: first second$"):
        render(tokenizer, HI, "{{ raise_exception('first\n  second') }}")


def test_continuing_what_the_end_of_turn_repeats(tokenizer):
    """The place is where the message ends, not where its text is seen last."""
    template = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    for content in ["e", "<end>", "n", ">"]:
        messages = [*HI, {"role": "assistant", "content": content}]
        text = render(
            tokenizer, messages, template, add_generation_prompt=False, continue_final_message=True
        )
        assert text == "hi<end>" + content


def test_continuing_parts(tokenizer, templates):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two "}]
    messages = [*HI, {"role": "assistant", "content": parts}]
    options = {"add_generation_prompt": False, "continue_final_message": True}
    assert render(tokenizer, messages, templates["parts"], **options).endswith("onetwo")
    assert render(tokenizer, messages, templates["chatml"], **options).endswith("one\ntwo ")
    assert parts[1]["text"] == "two "  # the caller's is left alone


@pytest.mark.parametrize(
    ("messages", "template"),
    [
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}], "x"),
        ([{"role": "assistant", "content": "hi"}], "nothing of it"),
        ([{"role": "assistant", "content": "hi"}], "{{ messages[0].content | upper }}"),
    ],
)
def test_nothing_to_continue(tokenizer, messages, template):
    with pytest.raises(TemplateError, match="continue_final_message: the final message"):
        render(
            tokenizer, messages, template, add_generation_prompt=False, continue_final_message=True
        )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"messages": []}, "messages is an argument of its own"),
        ({"tools": []}, "tools is an argument of its own"),
        ({"add_generation_prompt": False}, "argument of its own"),
        ({1: 2}, "names as keys, got 1"),
        ([1], "must be a dictionary, got"),
    ],
)
def test_bad_template_kwargs(tokenizer, given, says):
    with pytest.raises(ParamError, match=says):
        render(tokenizer, HI, "x", template_kwargs=given)
