"""Conversations: which template, how it is rendered, what it may not do."""

import asyncio
import json
import shutil

import pytest

from nbllm import LLM, SamplingParams
from nbllm.entrypoints.chat_utils import load_chat_template
from nbllm.errors import ParamError, TemplateError

HI = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
FEW = SamplingParams(temperature=0, max_tokens=3, ignore_eos=True)
PARTS = (
    "{% for m in messages %}{% for p in m['content'] %}[{{ p['text'] }}]{% endfor %}{% endfor %}"
)


def prompt(llm, messages=HI, **options) -> str:
    return llm.chat(messages, FEW, use_tqdm=False, **options)[0].prompt


def test_equals_apply_chat_template(llm):
    hf = llm.get_tokenizer()
    out = llm.chat([HI, HI[1:]], FEW, use_tqdm=False)
    for messages, output in zip([HI, HI[1:]], out, strict=True):
        want = hf.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert output.prompt == want
        assert output.prompt_token_ids == hf.encode(want, add_special_tokens=False)
        assert output.prompt_token_ids.count(256) == 1  # one BOS, the template's


def test_stream_takes_conversations(llm):
    whole = llm.chat(HI, FEW, use_tqdm=False)[0]
    last = list(llm.stream(HI, FEW))[-1]
    assert last.outputs == whole.outputs
    assert [o.prompt for o in llm.stream([HI, HI[1:]], FEW) if o.finished] == [
        whole.prompt,
        whole.prompt.replace("<system>be brief<eos>", ""),
    ]


def test_astream_takes_the_options_of_stream(llm):
    begun = [*HI, {"role": "assistant", "content": "so"}]
    options = {"chat_template": "{{ messages[-1].content }}", "continue_final_message": True}

    async def last():
        return [o async for o in llm.astream(begun, FEW, **options)][-1]

    [*_, want] = llm.stream(begun, FEW, **options)
    assert asyncio.run(last()).outputs == want.outputs
    assert want.prompt == "so"


def test_template_comes_from_the_argument_then_the_llm_then_the_tokenizer(llama, tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("own:{{ messages[-1].content }}")
    with LLM(llama[0], chat_template=file) as llm:
        assert prompt(llm) == "own:hi"
        assert prompt(llm, chat_template="arg:{{ messages[-1].content }}") == "arg:hi"
        assert prompt(llm, chat_template=load_chat_template(str(file))) == "own:hi"
        assert prompt(llm, chat_template="default").startswith("<bos><system>")


def test_several_named_templates(llama, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(llama[0], folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = [
        {"name": "short", "template": "s"},
        {"name": "tool_use", "template": "t{{ tools | length }}"},
    ]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with LLM(folder) as llm:
        assert prompt(llm, chat_template="short") == "s"
        assert prompt(llm, tools=[{"type": "function", "function": {"name": "f"}}]) == "t1"
        with pytest.raises(TemplateError, match=r"several chat templates.*short, tool_use"):
            prompt(llm)


def test_without_a_template(llama, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(llama[0], folder)
    (folder / "tokenizer_config.json").write_text("{}")
    with LLM(folder) as llm, pytest.raises(TemplateError, match="pass chat_template="):
        prompt(llm)


def test_content_parts(llm):
    parts = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]
    assert "<user>a\nb<eos>" in prompt(llm, parts)
    assert prompt(llm, parts, chat_template=PARTS) == "[a][b]"
    assert prompt(llm, HI, chat_template=PARTS) == "[be brief][hi]"
    flat = "{{ messages[-1].content is string }}"
    assert prompt(llm, HI, chat_template=flat, chat_template_content_format="openai") == "False"
    with pytest.raises(TemplateError, match="only text parts"):
        prompt(llm, [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}])


def test_continue_final_message(llm):
    messages = [*HI, {"role": "assistant", "content": "Well, "}]
    text = prompt(llm, messages, add_generation_prompt=False, continue_final_message=True)
    assert text.endswith("<assistant>Well, ")
    assert prompt(llm, messages, add_generation_prompt=False).endswith("Well, <eos>")
    with pytest.raises(ParamError, match="exclude each other"):
        prompt(llm, messages, continue_final_message=True)


def test_bad_options_are_refused_before_anything_runs(llm):
    with pytest.raises(ParamError, match="messages is an argument of its own"):
        prompt(llm, chat_template_kwargs={"messages": HI})
    with pytest.raises(ParamError, match="a tool must be"):
        prompt(llm, tools=[print])
    with pytest.raises(ParamError, match="one of auto, string, openai"):
        prompt(llm, chat_template_content_format="parts")
    assert llm.engine.num_unfinished == 0


def test_template_extras(llm):
    template = (
        "{% generation %}{{ {'a': 'é<'} | tojson }}{% endgeneration %}"
        "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        "{{ strftime_now('%Y') | length }}{{ extra }}"
    )
    got = prompt(llm, chat_template=template, chat_template_kwargs={"extra": "!"})
    assert got == '{"a": "é<"}014!'


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% if %}", "not valid Jinja"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|security|refused"),
        ("{{ messages.append(1) }}", "refused|unsafe"),
        ("{% include '/etc/passwd' %}", "refused|no loader"),
        ("{{ messages[9].content }}", "failed|refused"),
        ("no such file.jinja", "cannot open the chat template"),
    ],
)
def test_bad_templates(llm, template, message):
    with pytest.raises(TemplateError, match=message) as error:
        prompt(llm, chat_template=template)
    assert "\n" not in str(error.value)
    assert llm.engine.num_unfinished == 0


@pytest.mark.parametrize("messages", [[{"content": "x"}], ["hi"], [{"role": "user"}], "hi", 3])
def test_bad_messages(llm, messages):
    with pytest.raises(ValueError, match=r"role|content|messages"):
        llm.chat(messages, FEW)


def test_load_chat_template(tmp_path):
    file = tmp_path / "a.jinja"
    file.write_text("from a file")
    assert load_chat_template(file) == "from a file"
    assert load_chat_template("{{ x }}") == "{{ x }}"
    assert load_chat_template("two\nlines") == "two\nlines"
    assert load_chat_template(None) is None
    with pytest.raises(TemplateError, match="cannot open"):
        load_chat_template("missing.jinja")
