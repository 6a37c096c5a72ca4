"""Whatever a prompt holds reaches the model as it is, and is escaped where it is shown."""

import pandas as pd
import pytest
from html_page import HOSTILE, Page

from nbllm import LLM, resident, views

TEXTS = {
    "braces": 'f"{x}" {{literal}} {%block%} {#note#} ${HOME} {"a": [1, {"b": 2}]}',
    "dollars": "it costs $5, not $$x^2$$ or $PATH, 100 % sure",
    "quotes": """'single' "double" `back` ‘curly’ '''three''' \\' \\\" """,
    "backslashes": "C:\\new\\table \\frac{a}{b} \\n \\\\ \\",
    "script": "<script>alert('x')</script><img src=x onerror=alert(1)>&lt;&#60;</pre></div>",
    "ansi": "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 \x9b31m",
    "hostile": HOSTILE,
    "emoji": "👩‍🚀🏳️‍🌈🇳🇴 e\u0301 \U0001f469\u200d\U0001f467",
    "right to left": "שלום עולם، مرحبا (abc) 123",
    "shell and magics": "!ls\n%time 1\n? what ?\n# comment\n  indented\n\ttab\n\n",
    "long": "0123456789 \\ {brace} <b> " * 4000,
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("magic", ["generate", "chat"])
def test_a_prompt_is_what_was_typed(shell, llm, name, magic):
    text, llm.max_model_len = TEXTS[name], 200_000
    # what IPython runs for a cell: the text goes through no other transformation
    source = f"%%{magic} -m 1 --raw\n{text}\n"
    result = shell.run_cell(source)
    result.raise_error()
    sent = llm.calls[-1][0][0]
    assert (sent if magic == "generate" else sent[-1]["content"]) == text


@pytest.mark.parametrize("name", TEXTS)
def test_a_column_is_what_it_was(run, llm, shell, name):
    """A value that a template fills in is no template."""
    shell.user_ns["f"], llm.max_model_len = pd.DataFrame({"x": [TEXTS[name]] * 2}), 200_000
    result = run("%%generate -m 1 --over f\n{{ x }}")
    assert llm.calls[-1][0] == [TEXTS[name]] * 2
    assert result.df.prompt.tolist() == [TEXTS[name]] * 2
    data, _ = result._repr_mimebundle_()
    page = Page(data["text/html"])
    assert not {"script", "img", "b", "a"} & set(page.tags)
    assert not any(attribute.startswith("on") for attribute, _ in page.attributes)
    for shown in (page.text, data["text/plain"]):
        assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert data[views.MIME]["outputs"][0]["prompt"] == TEXTS[name]
    assert len(data["text/html"]) < 20_000


@pytest.fixture(scope="module")
def tiny():
    with LLM("tiny", device="cpu") as llm:
        yield llm


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "long"])
def test_the_model_reads_it_and_its_tokens_give_it_back(tiny, bare_shell, monkeypatch, name):
    monkeypatch.setattr(resident, "_llms", {"tiny": tiny})
    monkeypatch.setattr(resident, "_current", "tiny")
    bare_shell.run_line_magic("load_ext", "nbllm")
    cell = f"%%generate -m 4 --raw -l 2 --ignore-eos\n{TEXTS[name]}\n"
    result = bare_shell.run_cell(cell)
    bare_shell.run_line_magic("unload_ext", "nbllm")
    result.raise_error()
    [output] = result.result.outputs
    assert output.prompt == TEXTS[name]
    assert tiny.tokenizer.decode(output.prompt_token_ids, skip_special_tokens=True) == TEXTS[name]
    page = Page(result.result._repr_mimebundle_()[0]["text/html"])
    assert not {"script", "img"} & set(page.tags)


def test_a_long_prompt_reaches_the_model(bare_shell, monkeypatch):
    """Its tokens are those of the text; reading them all would take a model of this size a minute."""
    text = TEXTS["long"] + "🏳️‍🌈 שלום"
    with LLM("tiny", device="cpu", hf_overrides={"max_position_embeddings": 100_000}) as llm:
        monkeypatch.setattr(resident, "_llms", {"tiny": llm})
        monkeypatch.setattr(resident, "_current", "tiny")

        def step(**_):
            raise KeyboardInterrupt

        monkeypatch.setattr(llm.engine, "step", step)
        bare_shell.run_line_magic("load_ext", "nbllm")
        for magic in ("generate", "chat"):
            assert not bare_shell.run_cell(f"%%{magic} --raw\n{text}\n").success
            [output] = resident.last().outputs
            assert len(output.prompt_token_ids) > 40_000
            read = llm.tokenizer.decode(output.prompt_token_ids, skip_special_tokens=True)
            assert read == text
            data = resident.last()._repr_mimebundle_()[0]
            assert len(data["text/html"]) < 5_000
        bare_shell.run_line_magic("unload_ext", "nbllm")
        assert llm.engine.num_unfinished == 0


def test_emoji_that_tokens_split_are_whole_in_text_and_tokens(tiny, bare_shell, monkeypatch):
    monkeypatch.setattr(resident, "_llms", {"tiny": tiny})
    monkeypatch.setattr(resident, "_current", "tiny")
    bare_shell.run_line_magic("load_ext", "nbllm")
    bare_shell.user_ns["said"] = ["👩‍🚀 שלום"]
    result = bare_shell.run_cell("%%generate -m 60 --choices said -l 1\nSay").result
    bare_shell.run_line_magic("unload_ext", "nbllm")
    [completion] = result.outputs[0].outputs
    assert completion.text == "👩‍🚀 שלום"
    assert len(completion.token_ids) > len(completion.text)
    data, _ = result._repr_mimebundle_()
    assert data["text/plain"] == "👩‍🚀 שלום"
    Page(data["text/html"])
    frame = result.tokens_frame()
    assert len(frame) == len(completion.token_ids)
