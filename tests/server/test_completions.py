"""`/v1/completions` through the official client."""

import json
import math
import re

import httpx
import pytest
from openai.types import Completion

from nbllm import BeamSearchParams, SamplingParams

PARIS = "The capital of France is"
SENTENCE = "Convert to JSON: Anna is 7 years old.\n"
GREEDY = {"model": "tiny", "prompt": PARIS, "temperature": 0, "max_tokens": 8}


def valid(made):
    """`made`, whose JSON is what the client's types say."""
    Completion.model_validate(typed(made))
    return made


def typed(made):
    """Its JSON, but for the nulls that OpenAI sends too and the client's types do not know.

    A choice that goes on has no finish_reason, and nothing predicts the first token of a prompt.
    """
    raw = made.to_dict()
    for choice in raw["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
        if (found := choice["logprobs"]) and found["token_logprobs"][:1] == [None]:
            assert found["top_logprobs"].pop(0) is None
            del found["token_logprobs"][0]
    return raw


def streamed(client, **asked):
    """The chunks, all of them valid."""
    return [valid(chunk) for chunk in client.completions.create(stream=True, **asked)]


def joined(chunks, index=0):
    return "".join(c.text for chunk in chunks for c in chunk.choices if c.index == index)


def texts(llm, prompts, **params):
    outputs = llm.generate(prompts, SamplingParams(**params), use_tqdm=False)
    return [c.text for o in outputs for c in o.outputs]


def test_text_and_usage(client, llm):
    made = valid(client.completions.create(**GREEDY))
    assert [c.text for c in made.choices] == texts(llm, PARIS, temperature=0, max_tokens=8)
    assert made.choices[0].finish_reason == "length"
    assert (made.model, made.object) == ("tiny", "text_completion")
    assert made.id.startswith("cmpl-")
    count = len(llm.tokenizer.encode(PARIS))
    assert made.usage.prompt_tokens == count
    assert (made.usage.completion_tokens, made.usage.total_tokens) == (8, count + 8)


def test_stream(client):
    whole = client.completions.create(**GREEDY).choices[0]
    chunks = streamed(client, **GREEDY)
    assert joined(chunks) == whole.text
    assert [c.choices[0].finish_reason for c in chunks][-1] == "length"
    assert {c.choices[0].finish_reason for c in chunks[:-1]} <= {None}
    assert len({c.id for c in chunks}) == 1
    assert all(c.usage is None for c in chunks)


def test_stream_usage(client):
    options = {"include_usage": True}
    *chunks, last = streamed(client, **GREEDY, stream_options=options)
    assert not last.choices
    assert last.usage.completion_tokens == 8
    assert all(c.usage is None for c in chunks)
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [c.usage.completion_tokens for c in streamed(client, **GREEDY, stream_options=options)]
    assert counts == sorted(counts)
    assert counts[-1] == 8


def test_async(aclient):
    async def both(client):
        made = valid(await client.completions.create(**GREEDY))
        stream = await client.completions.create(stream=True, **GREEDY)
        return made.choices[0].text, "".join([c.choices[0].text async for c in stream])

    whole, streamed = aclient(both)
    assert whole == streamed == " Paris. The language of France is French"


def test_n_and_prompts(client, llm):
    """The completions of prompt i are the choices from i · n on."""
    prompts = [PARIS, "Once upon a time"]
    asked = {
        "model": "tiny",
        "prompt": prompts,
        "n": 2,
        "seed": 7,
        "temperature": 0.9,
        "max_tokens": 12,
    }
    wanted = texts(llm, prompts, n=2, seed=7, temperature=0.9, max_tokens=12, top_p=0.9)
    made = valid(client.completions.create(**asked))
    assert [c.index for c in made.choices] == [0, 1, 2, 3]
    assert [c.text for c in made.choices] == wanted
    chunks = streamed(client, **asked)
    assert [joined(chunks, i) for i in range(4)] == wanted
    ends = {
        c.choices[0].index: c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason
    }
    assert set(ends) == {0, 1, 2, 3}
    assert len(set(wanted)) == 4


@pytest.mark.parametrize("several", [False, True])
def test_token_ids(client, llm, several):
    ids = llm.tokenizer.encode(PARIS)
    asked = {**GREEDY, "prompt": [ids, ids] if several else ids}
    made = valid(client.completions.create(**asked))
    assert [c.text for c in made.choices] == texts(llm, PARIS, temperature=0, max_tokens=8) * (
        1 + several
    )


def test_model_defaults(client, llm):
    """What a request leaves out is the model's, as in `LLM.generate`."""
    params = llm.get_default_sampling_params()
    params.seed, params.max_tokens = 3, 16
    [output] = llm.generate(PARIS, params, use_tqdm=False)
    made = client.completions.create(model="tiny", prompt=PARIS, seed=3)
    assert made.choices[0].text == output.outputs[0].text


def test_stop(client):
    made = client.completions.create(**GREEDY, stop=" language")
    assert made.choices[0].text == " Paris. The"
    assert (made.choices[0].finish_reason, made.choices[0].stop_reason) == ("stop", " language")
    chunks = streamed(client, **GREEDY, stop=[" x", " language of"])
    assert joined(chunks) == " Paris. The"
    made = client.completions.create(
        **GREEDY, stop=[" language"], extra_body={"include_stop_str_in_output": True}
    )
    assert made.choices[0].text == " Paris. The language"


def test_logprobs(client, llm):
    made = valid(client.completions.create(**GREEDY, logprobs=2))
    found = made.choices[0].logprobs
    params = SamplingParams(temperature=0, max_tokens=8, logprobs=2)
    [output] = llm.generate(PARIS, params, use_tqdm=False)
    own = [
        p[t].logprob
        for p, t in zip(output.outputs[0].logprobs, output.outputs[0].token_ids, strict=True)
    ]
    assert found.token_logprobs == pytest.approx(own, abs=1e-5)
    assert "".join(found.tokens) == made.choices[0].text
    assert [
        made.choices[0].text[i:][: len(t)]
        for i, t in zip(found.text_offset, found.tokens, strict=True)
    ] == found.tokens
    assert all(len(top) == 2 for top in found.top_logprobs)
    assert all(token in top for token, top in zip(found.tokens, found.top_logprobs, strict=True))


def test_logprobs_stream(client):
    whole = client.completions.create(**GREEDY, logprobs=1).choices[0].logprobs
    parts = [c.choices[0].logprobs for c in streamed(client, **GREEDY, logprobs=1)]
    for name in ("tokens", "text_offset"):
        assert [x for part in parts for x in getattr(part, name)] == getattr(whole, name)
    own = [x for part in parts for x in part.token_logprobs]
    assert own == pytest.approx(whole.token_logprobs, abs=1e-5)


def test_logprobs_zero(client):
    found = client.completions.create(**GREEDY, logprobs=0).choices[0].logprobs
    assert [list(top) for top in found.top_logprobs] == [[t] for t in found.tokens]


def test_tokens_as_ids(client, llm):
    body = {"return_tokens_as_token_ids": True, "return_token_ids": True}
    choice = client.completions.create(**GREEDY, logprobs=1, extra_body=body).choices[0]
    assert choice.logprobs.tokens == [f"token_id:{t}" for t in choice.token_ids]
    assert choice.prompt_token_ids == llm.tokenizer.encode(PARIS)
    chunks = streamed(client, **GREEDY, extra_body={"return_token_ids": True})
    assert [t for c in chunks for t in c.choices[0].token_ids] == choice.token_ids
    assert chunks[0].choices[0].prompt_token_ids == choice.prompt_token_ids


def test_echo(client):
    plain = client.completions.create(**GREEDY).choices[0].text
    assert client.completions.create(**GREEDY, echo=True).choices[0].text == PARIS + plain
    assert joined(streamed(client, **GREEDY, echo=True)) == PARIS + plain


def test_echo_of_token_ids(client, llm):
    asked = {**GREEDY, "prompt": llm.tokenizer.encode(PARIS), "echo": True}
    assert client.completions.create(**asked).choices[0].text.startswith(PARIS + " Paris")


@pytest.mark.parametrize("stream", [False, True])
def test_echo_scores_a_prompt(client, llm, stream):
    """echo, logprobs and no new token: how harnesses score texts."""
    asked = {"model": "tiny", "prompt": PARIS, "max_tokens": 0, "echo": True, "logprobs": 1}
    if stream:
        options = {"include_usage": True}
        *chunks, last = streamed(client, **asked, stream_options=options)
        assert joined(chunks) == PARIS
        [choice], usage = chunks[0].choices, last.usage
    else:
        made = valid(client.completions.create(**asked))
        [choice], usage = made.choices, made.usage
        assert choice.text == PARIS
    assert usage.completion_tokens == 0
    [score] = llm.score(PARIS, use_tqdm=False)
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.token_logprobs[1:] == pytest.approx(score.logprobs, abs=1e-4)
    assert choice.finish_reason == "length"
    spoken = [t for t in choice.logprobs.tokens if t != "<|begin|>"]
    assert "".join(spoken) == PARIS
    # the BOS is no part of the text
    assert choice.logprobs.text_offset[:2] == [0, 0]


def test_no_new_token_is_the_length_that_was_asked_for(client):
    """Even where the one that is made in secret ends the text."""
    body = {"allowed_token_ids": [1]}
    made = client.completions.create(model="tiny", prompt=PARIS, max_tokens=0, extra_body=body)
    assert (made.choices[0].text, made.choices[0].finish_reason) == ("", "length")


def test_echo_with_logprobs_of_several(client):
    made = valid(
        client.completions.create(
            model="tiny",
            prompt=PARIS,
            n=2,
            seed=1,
            max_tokens=4,
            echo=True,
            logprobs=1,
            extra_body={"ignore_eos": True},
        )
    )
    scores = [c.logprobs.token_logprobs for c in made.choices]
    count = made.usage.prompt_tokens
    assert scores[0][:count] == scores[1][:count]
    assert [len(s) for s in scores] == [count + 4] * 2


def test_prompt_logprobs(client, llm):
    made = client.completions.create(**GREEDY, extra_body={"prompt_logprobs": 1})
    found = made.choices[0].prompt_logprobs
    assert found[0] is None
    assert len(found) == made.usage.prompt_tokens
    ids = llm.tokenizer.encode(PARIS)
    for token, position in zip(ids[1:], found[1:], strict=True):
        own = position[str(token)]
        assert own["decoded_token"] == llm.tokenizer.decode([token])
        assert own["rank"] >= 1
        assert own["logprob"] <= 0


def test_logit_bias(client, llm):
    [token] = llm.tokenizer.encode(" Rome", add_special_tokens=False)[:1]
    made = client.completions.create(**{**GREEDY, "max_tokens": 1}, logit_bias={str(token): 100})
    assert made.choices[0].text == llm.tokenizer.decode([token])


def test_penalties_and_filters(client, llm):
    fields = {
        "temperature": 0.9, "top_p": 0.8, "seed": 5, "frequency_penalty": 0.5,
        "presence_penalty": -0.5, "max_tokens": 20,
    }  # fmt: skip
    more = {
        "top_k": 7, "min_p": 0.05, "repetition_penalty": 1.2, "min_tokens": 18,
        "stop_token_ids": [300], "bad_words": ["Paris"], "skip_special_tokens": False,
        "spaces_between_special_tokens": False, "ignore_eos": True,
    }  # fmt: skip
    made = client.completions.create(model="tiny", prompt=PARIS, **fields, extra_body=more)
    assert [c.text for c in made.choices] == texts(llm, PARIS, **fields, **more)


def test_allowed_token_ids(client, llm):
    ids = [400, 401, 402]
    body = {"allowed_token_ids": ids, "return_token_ids": True, "ignore_eos": True}
    made = client.completions.create(**GREEDY, extra_body=body)
    assert set(made.choices[0].token_ids) <= set(ids)


def test_truncation(client, llm):
    ids = llm.tokenizer.encode(PARIS)
    body = {"truncate_prompt_tokens": 3, "return_token_ids": True}
    made = client.completions.create(**GREEDY, extra_body=body)
    assert made.choices[0].prompt_token_ids == ids[-3:]
    asked = {**GREEDY, "prompt": [5] * 3000, "extra_body": {"truncate_prompt_tokens": -1}}
    assert client.completions.create(**asked).usage.prompt_tokens == llm.max_model_len - 8


def test_special_tokens_may_be_left_out(client, llm):
    body = {"add_special_tokens": False, "return_token_ids": True}
    made = client.completions.create(**GREEDY, extra_body=body)
    assert made.choices[0].prompt_token_ids == llm.tokenizer.encode(PARIS, add_special_tokens=False)


@pytest.mark.parametrize("stream", [False, True])
def test_beam_search(client, llm, stream):
    asked = {
        "model": "tiny", "prompt": [PARIS, "Once upon"], "n": 3, "max_tokens": 8,
        "extra_body": {"use_beam_search": True, "length_penalty": 0.5},
    }  # fmt: skip
    params = BeamSearchParams(beam_width=3, max_tokens=8, length_penalty=0.5)
    found = llm.beam_search(asked["prompt"], params)
    wanted = [s.generated_text for output in found for s in output.sequences]
    if stream:
        chunks = streamed(client, **asked)
        assert [joined(chunks, i) for i in range(6)] == wanted
    else:
        made = valid(client.completions.create(**asked))
        assert [c.text for c in made.choices] == wanted
        count = sum(len(s.generated_token_ids) for o in found for s in o.sequences)
        assert made.usage.completion_tokens == count


def test_beam_search_with_logprobs_and_echo(client, llm):
    body = {"use_beam_search": True}
    asked = {"model": "tiny", "prompt": PARIS, "n": 2, "max_tokens": 5, "extra_body": body}
    made = valid(client.completions.create(**asked, logprobs=1, echo=True))
    params = BeamSearchParams(beam_width=2, max_tokens=5)
    [found] = llm.beam_search(PARIS, params)
    for choice, sequence in zip(made.choices, found.sequences, strict=True):
        assert choice.text == PARIS + sequence.generated_text
        assert choice.logprobs.token_logprobs == pytest.approx(sequence.token_logprobs, abs=1e-5)
        assert choice.logprobs.text_offset[0] == len(PARIS)


def test_structured(client):
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "maximum": 99}},
        "required": ["age"],
        "additionalProperties": False,
    }
    format = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    ways = (
        {"response_format": format},
        {"structured_outputs": {"json": schema}},
        {"guided_json": schema},
    )
    for body in ways:
        made = client.completions.create(
            model="tiny", prompt=SENTENCE, temperature=0, max_tokens=100, extra_body=body
        )
        assert isinstance(json.loads(made.choices[0].text), dict)
    for body in ({"structured_outputs": {"regex": "[ab]{4}"}}, {"guided_regex": "[ab]{4}"}):
        made = client.completions.create(model="tiny", prompt="x", extra_body=body)
        assert re.fullmatch("[ab]{4}", made.choices[0].text)
    for body in (
        {"structured_outputs": {"choice": ["no", "yes"]}},
        {"guided_choice": ["no", "yes"]},
    ):
        made = client.completions.create(model="tiny", prompt="x", extra_body=body)
        assert made.choices[0].text in ("no", "yes")
    grammar = 'root ::= "a" "b"+ "c"'
    made = client.completions.create(
        model="tiny", prompt="x", max_tokens=50, extra_body={"guided_grammar": grammar}
    )
    assert made.choices[0].text.startswith("ab")


def test_priority_and_request_id(client):
    body = {"priority": -3, "request_id": "mine-1"}
    assert client.completions.create(**GREEDY, extra_body=body).id == "cmpl-mine-1"


def test_prefix_cache_is_reported(client, llm):
    llm.reset_prefix_cache()
    prompt = [7] * 130
    counts = [
        client.completions.create(model="tiny", prompt=prompt, max_tokens=1).usage for _ in range(2)
    ]
    assert [c.prompt_tokens_details.cached_tokens for c in counts] == [0, 128]


def test_numbers_are_json(client):
    """No infinity: the least log-probability is −9999, as in vLLM."""
    body = {"allowed_token_ids": [400], "ignore_eos": True}
    found = client.completions.create(**GREEDY, logprobs=2, extra_body=body).choices[0].logprobs
    assert all(math.isfinite(x) for x in found.token_logprobs)


def test_line_ends_stay_inside_an_event(server):
    """Some clients split a stream where Python sees the end of a line."""
    text = "a\u2028b\u2029c\x85d"
    body = {"prompt": "x", "max_tokens": 40, "stream": True,
            "structured_outputs": {"grammar": f"start: {json.dumps(text)}"}}  # fmt: skip
    response = httpx.post(server.url + "/completions", json=body)
    events = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    assert "".join(json.loads(e)["choices"][0]["text"] for e in events) == text
