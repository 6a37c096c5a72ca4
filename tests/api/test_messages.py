"""`output.outputs[0].message`: what a chat's answer is as a message, wherever the output comes from."""

import asyncio
import pickle
from itertools import pairwise

import pandas as pd
import pytest
from chat_conversations import TOOLS

from nbllm import LLM, SamplingParams, to_frame
from nbllm.sampling_params import RequestOutputKind

HI = [{"role": "user", "content": "hi"}]
# what a template mentions decides how answers are read
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}{# <think> <tool_call> #}"
CALL = '<tool_call>\n{"name": "now", "arguments": {"zone": "CET"}}\n</tool_call>'
ANSWER = f"<think>\nhm\n</think>\n\nLet me see.\n{CALL}"
MESSAGE = {
    "role": "assistant",
    "content": "Let me see.",
    "reasoning": "hm",
    "tool_calls": [
        {"type": "function", "function": {"name": "now", "arguments": '{"zone": "CET"}'}}
    ],
}
GREEDY = SamplingParams(temperature=0, max_tokens=None)


@pytest.fixture
def says(llama, monkeypatch):
    """An LLM whose every answer is the text that is given."""
    # a captured step would go on with the logits that it was captured with
    with LLM(llama[0], chat_template=TEMPLATE, device="cpu") as llm:

        def says(text: str) -> LLM:
            tokens = iter([*llm.tokenizer.encode(text, add_special_tokens=False), 257])

            def compute_logits(hidden):
                logits = hidden.new_full((len(hidden), llm.config.vocab_size), -9)
                logits[:, next(tokens, 257)] = 9
                return logits

            monkeypatch.setattr(llm.engine.runner.model, "compute_logits", compute_logits)
            return llm

        yield says


def without_ids(message):
    calls = [{k: v for k, v in c.items() if k != "id"} for c in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def kind(name: str) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=None, output_kind=RequestOutputKind[name])


def test_chat(says):
    [output] = says(ANSWER).chat(HI, GREEDY, use_tqdm=False, tools=TOOLS)
    completion = output.outputs[0]
    assert completion.text == ANSWER
    assert without_ids(completion.message) == MESSAGE
    assert completion.content == "Let me see."
    assert completion.reasoning == "hm"
    assert completion.tool_calls == completion.message["tool_calls"]
    assert pickle.loads(pickle.dumps(output)).outputs[0].message == completion.message


def test_achat(says):
    [output] = asyncio.run(says(ANSWER).achat(HI, GREEDY, tools=TOOLS))
    assert without_ids(output.outputs[0].message) == MESSAGE


def test_completions_and_conversations_have_ids_of_their_own(says):
    params = SamplingParams(top_k=1, max_tokens=None, n=2)
    outputs = says(ANSWER).chat([HI, HI], params, use_tqdm=False, tools=TOOLS)
    messages = [c.message for o in outputs for c in o.outputs]
    assert [without_ids(m) for m in messages] == [MESSAGE] * 4
    assert len({m["tool_calls"][0]["id"] for m in messages}) == 4


def test_calls_are_read_only_when_tools_were_given(says):
    [output] = says(ANSWER).chat(HI, GREEDY, use_tqdm=False)
    assert output.outputs[0].tool_calls == []
    assert output.outputs[0].content == f"Let me see.\n{CALL}"


def test_a_plain_prompt_has_no_message(says):
    completion = says(ANSWER).generate("hi", GREEDY, use_tqdm=False)[0].outputs[0]
    assert completion.text == ANSWER
    assert completion.message is completion.content is completion.reasoning is None
    assert completion.tool_calls == []


def test_a_stream_shows_only_what_is_certain(says):
    outputs = [o.outputs[0] for o in says(ANSWER).stream(HI, GREEDY)]
    assert outputs[-1].message == {**MESSAGE, "content": f"Let me see.\n{CALL}", "tool_calls": []}
    assert [o.content for o in outputs if o.text.endswith("</think")] == [None]
    for before, after in pairwise(outputs):
        assert (after.reasoning or "").startswith(before.reasoning or "")
        assert (after.content or "").startswith(before.content or "")


def test_astream(says):
    async def last():
        return [o async for o in says(ANSWER).astream(HI, GREEDY)][-1]

    assert asyncio.run(last()).outputs[0].reasoning == "hm"


def test_a_stream_of_what_is_new_ends_with_the_message(says):
    outputs = [o.outputs[0] for o in says(ANSWER).stream(HI, kind("DELTA"))]
    assert "".join(o.text for o in outputs) == ANSWER
    assert {o.message is None for o in outputs[:-1]} == {True}
    assert outputs[-1].reasoning == "hm"
    [output] = says(ANSWER).stream(HI, kind("FINAL_ONLY"))
    assert output.outputs[0].reasoning == "hm"


def test_reasoning_that_the_prompt_opens_and_the_length_ends(says):
    params = SamplingParams(temperature=0, max_tokens=4)
    opened = TEMPLATE + "<think>\n"
    [output] = says("because").chat(HI, params, use_tqdm=False, chat_template=opened)
    assert output.outputs[0].message == {
        "role": "assistant",
        "content": None,
        "reasoning": "beca",
        "tool_calls": [],
    }


def test_an_answer_that_is_continued_is_its_new_part(says):
    begun = [*HI, {"role": "assistant", "content": "<think>first, "}]
    options = {"add_generation_prompt": False, "continue_final_message": True}
    [output] = says("then</think>done").chat(begun, GREEDY, use_tqdm=False, **options)
    assert output.prompt == "hi<think>first, "
    assert (output.outputs[0].reasoning, output.outputs[0].content) == ("then", "done")


def test_without_detokenizing_there_is_no_message(says):
    params = SamplingParams(temperature=0, detokenize=False, max_tokens=3)
    [output] = says("abc").chat(HI, params, use_tqdm=False)
    assert output.outputs[0].message is None


def test_a_message_goes_on_in_the_conversation(says, templates_folder):
    """The answer, its tools' results, and the next turn render as one conversation."""
    hermes = (templates_folder / "hermes_tools.jinja").read_text()
    llm = says(CALL)
    small = [{"type": "function", "function": {"name": "now"}}]
    message = llm.chat(HI, GREEDY, use_tqdm=False, tools=small)[0].outputs[0].message
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "noon"}
    params = SamplingParams(temperature=0, max_tokens=1)
    [output] = says("x").chat([*HI, message, result], params, use_tqdm=False, chat_template=hermes)
    assert CALL in output.prompt
    assert "<tool_response>\nnoon\n</tool_response>" in output.prompt


def test_frames(says):
    llm = says(ANSWER)
    outputs = llm.chat(HI, GREEDY, use_tqdm=False, tools=TOOLS)
    plain = says("hi").generate("hi", GREEDY, use_tqdm=False)
    usual = list(plain[0].to_frame().columns)
    frame = to_frame(o for o in [*outputs, *plain])
    assert list(frame.columns) == [*usual, "reasoning", "content", "tool_calls"]
    assert frame.reasoning.tolist() == ["hm", None]
    assert frame.content.tolist() == ["Let me see.", None]
    assert frame.tool_calls[0] == outputs[0].outputs[0].tool_calls
    chat = says("hi").chat(HI, GREEDY, use_tqdm=False, tools=TOOLS)
    assert list(chat[0].to_frame().columns) == usual
    assert len(pd.concat([frame, chat[0].to_frame()])) == 3


@pytest.fixture
def templates_folder(request):
    return request.config.rootpath / "tests" / "chat" / "templates"
