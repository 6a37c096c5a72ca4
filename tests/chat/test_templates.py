"""Which template a conversation is rendered with, as `transformers` chooses it."""

import json

import pytest
from chat_conversations import TOOLS
from tiny_models import write_tokenizer

from nbllm.chat import find_template, load_if_path, template_hash, templates_of
from nbllm.engine.text import Tokenizer
from nbllm.errors import TemplateError

SEVERAL = {"default": "D", "tool_use": "T", "rag": "{{ 'R' }}"}


def in_config(folder, templates):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = templates
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def as_list(folder, templates):
    in_config(folder, [{"name": n, "template": t} for n, t in templates.items()])


def as_files(folder, templates):
    in_config(folder, None)
    for name, text in templates.items():
        extra = folder / "additional_chat_templates"
        extra.mkdir(exist_ok=True)
        path = folder / "chat_template.jinja" if name == "default" else extra / f"{name}.jinja"
        path.write_text(text)


@pytest.mark.parametrize("write", [as_list, as_files])
@pytest.mark.parametrize("names", [["default"], ["default", "rag"], ["default", "tool_use"], ["tool_use"], ["rag"]])  # fmt: skip
@pytest.mark.parametrize("tools", [None, [], TOOLS])
@pytest.mark.parametrize("argument", [None, "rag", "tool_use", "{{ 'own' }}"])
def test_chosen_as_transformers_chooses(tmp_path, write, names, tools, argument):
    from transformers import AutoTokenizer

    if argument in SEVERAL and argument not in names:
        return  # transformers takes an unknown name for a template; here it is a missing file
    write_tokenizer(tmp_path)
    write(tmp_path, {name: SEVERAL[name] for name in names})
    try:
        want = AutoTokenizer.from_pretrained(tmp_path).get_chat_template(argument, tools)
    except ValueError:
        want = None
    tokenizer = Tokenizer.from_folder(tmp_path)
    if want is None:
        with pytest.raises(TemplateError, match=f"pass chat_template= one of {names[0]}"):
            find_template(tokenizer, argument, None, tools=tools is not None)
    else:
        assert find_template(tokenizer, argument, None, tools=tools is not None) == want


def test_a_file_beside_the_config_comes_first(tmp_path):
    write_tokenizer(tmp_path)
    in_config(tmp_path, "old")
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "processor's"}))
    assert templates_of(Tokenizer.from_folder(tmp_path)) == {"default": "processor's"}
    (tmp_path / "chat_template.jinja").write_text("file")
    assert templates_of(Tokenizer.from_folder(tmp_path)) == {"default": "file"}


def test_the_argument_then_the_llms_own(tmp_path):
    write_tokenizer(tmp_path)
    in_config(tmp_path, SEVERAL)
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert find_template(tokenizer, "rag", "own", tools=True) == "{{ 'R' }}"
    assert find_template(tokenizer, None, "own", tools=True) == "own"
    assert load_if_path("tool_use", tokenizer) == "T"


def test_an_unknown_name_is_a_missing_file(tmp_path):
    write_tokenizer(tmp_path)
    with pytest.raises(TemplateError, match="cannot open the chat template 'tool_user'"):
        find_template(Tokenizer.from_folder(tmp_path), "tool_user", None)


def test_the_hash_tells_templates_apart():
    assert len(template_hash("a")) == 16
    assert template_hash("a") != template_hash("b")
