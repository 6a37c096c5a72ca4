"""`structured_outputs`: what comes out has the form that was asked for."""

import itertools
import json
import re
import sys
from random import Random

import pydantic
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from schemas import schema

from nbllm import LLM, BeamSearchParams, SamplingParams, StructuredOutputsParams
from nbllm.errors import ParamError
from nbllm.sampling_params import RequestOutputKind

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
ANNA = "Text: Anna is 12 years old and lives in Paris.\nJSON:"


@pytest.fixture(scope="module")
def tiny():
    with LLM("tiny") as llm:
        yield llm


@pytest.fixture(params=["tiny", "ascii_llm"])
def either_llm(request):
    return request.getfixturevalue(request.param)


def params(max_tokens=80, temperature=0.0, **options) -> SamplingParams:
    kinds = ("json", "regex", "choice", "grammar", "json_object", "whitespace_pattern")
    wanted = {k: options.pop(k) for k in kinds if k in options}
    return SamplingParams(
        structured_outputs=StructuredOutputsParams(**wanted),
        max_tokens=max_tokens,
        temperature=temperature,
        **options,
    )


def one(llm, prompt, **options):
    return llm.generate(prompt, params(**options), use_tqdm=False)[0].outputs[0]


def validate(text: str, wanted: dict) -> None:
    Draft202012Validator(wanted, format_checker=FormatChecker()).validate(json.loads(text))


# --- each kind


def test_the_bundled_model_fills_a_schema(tiny):
    made = one(tiny, ANNA, json=PERSON)
    assert made.text == '{"name": "Anna", "age": 12}'
    assert (made.finish_reason, made.stop_reason) == ("stop", None)
    assert made.token_ids[-1] in tiny.intake.eos_ids


def test_a_schema_as_text_and_as_a_model_class(either_llm):
    class Person(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=12)
        age: int = pydantic.Field(ge=0, le=120)
        model_config = {"extra": "forbid"}

    given = one(either_llm, ANNA, json=PERSON)
    assert given.finish_reason == "stop"
    assert one(either_llm, ANNA, json=json.dumps(PERSON)).token_ids == given.token_ids
    made = one(either_llm, ANNA, json=Person)
    assert Person.model_validate_json(made.text)
    assert made.token_ids == given.token_ids


def test_regex(either_llm):
    for pattern in (r"\d{3}-\d{4}", "^(yes|no)$", "[A-C]{5}", "a?"):
        made = one(either_llm, "a number", regex=pattern)
        assert made.finish_reason == "stop"
        assert re.fullmatch(pattern, made.text)


def test_choice(either_llm):
    choices = ["positive", "negative", 'a "quoted\\one"', "two\nlines", "pos"]
    if either_llm.name != "tiny":
        choices.pop(3)  # its vocabulary has no newline
    seen = set()
    for seed in range(30):
        made = one(either_llm, "good", choice=choices, temperature=2.0, seed=seed)
        assert made.text in choices
        assert made.finish_reason == "stop"
        seen.add(made.text)
    assert len(seen) > 1
    assert one(either_llm, "good", choice=[choices[2]]).text == choices[2]


def test_a_choice_is_what_transformers_choose(ascii_llm):
    """Greedy over a trie of the choices, character by character."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(ascii_llm.info().path, dtype=torch.float32).eval()
    choices, encode = ["yes", "no", "yellow", "nobody", "maybe"], ascii_llm.tokenizer.encode
    ids = [[*encode(c, add_special_tokens=False), 96] for c in choices]
    for prompt in ("a", "b?", "Is it so:"):
        start = encode(prompt)

        def allowed(_, tokens, prompt=start):
            done = tokens[len(prompt) :].tolist()
            return sorted({i[len(done)] for i in ids if i[: len(done)] == done})

        want = model.generate(
            torch.tensor([start]),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=96,
            pad_token_id=96,
            prefix_allowed_tokens_fn=allowed,
        )[0, len(start) :].tolist()
        assert one(ascii_llm, prompt, choice=choices).token_ids == want


LARK = 'start: "x" "=" NUM ("+" NUM)*\nNUM: /[0-9]{1,3}/'
EBNF = 'root ::= "x" "=" num ("+" num)*\nnum ::= [0-9] [0-9]? [0-9]?'


@pytest.mark.parametrize("grammar", [LARK, EBNF, "?" + LARK], ids=["lark", "ebnf", "inlined"])
def test_grammar(either_llm, grammar):
    for seed in range(5):
        made = one(either_llm, "sum", grammar=grammar, temperature=1.0, seed=seed)
        if made.finish_reason == "stop":
            assert re.fullmatch(r"x=\d{1,3}(\+\d{1,3})*", made.text)
        else:
            assert made.text.startswith("x=")


def test_json_object(tiny):
    made = one(tiny, ANNA, json_object=True)
    assert made.finish_reason == "stop"
    assert json.loads(made.text) == {"name": "Anna", "age": 12, "city": "Paris"}
    each = [params(json_object=True, temperature=1.0, seed=seed) for seed in range(10)]
    for output in tiny.generate([ANNA] * 10, each, use_tqdm=False):
        made = output.outputs[0]
        if made.finish_reason == "stop":
            assert isinstance(json.loads(made.text), dict)
        else:
            assert made.text.startswith("{")


def test_whitespace_is_not_free_unless_asked_for(tiny):
    strings = re.compile(r'"(?:[^"\\]|\\.)*"')
    each = [params(json=PERSON, temperature=1.0, seed=seed) for seed in range(20)]
    for output in tiny.generate([ANNA] * 20, each, use_tqdm=False):
        made = output.outputs[0]
        if made.finish_reason == "stop":
            bare = strings.sub("s", made.text)
            assert re.fullmatch(r"{s: s, s: \d+}", bare)
    # now the model's to choose: it has learnt to write one space
    chosen = one(tiny, ANNA, json=PERSON, whitespace_pattern=" ?")
    assert chosen.text == '{"name": "Anna", "age": 12}'
    lines = one(tiny, ANNA, json=PERSON, whitespace_pattern=r"\n?")
    assert " " not in strings.sub("s", lines.text)
    validate(lines.text, PERSON)
    tight = one(
        tiny, ANNA, json={**PERSON, "x-guidance": {"item_separator": ",", "key_separator": ":"}}
    )
    assert tight.text == json.dumps(json.loads(tight.text), separators=(",", ":"))


def test_chat_and_the_other_doors(tiny):
    import asyncio

    ask = [{"role": "user", "content": "Extract name and age as JSON: Anna is 12 years old."}]
    made = tiny.chat(ask, params(json=PERSON), use_tqdm=False)[0].outputs[0]
    assert json.loads(made.text) == {"name": "Anna", "age": 12}
    [other] = asyncio.run(tiny.achat(ask, params(json=PERSON)))
    assert other.outputs[0].token_ids == made.token_ids


# --- with the rest of the parameters


def test_n_completions_each_have_their_own(either_llm):
    out = either_llm.generate(
        "x", params(regex="[a-e]{1,9}", temperature=1.5, n=6, seed=3), use_tqdm=False
    )[0]
    assert len({c.text for c in out.outputs}) > 2
    for c in out.outputs:
        assert re.fullmatch("[a-e]{1,9}", c.text)
    alone = one(either_llm, "x", regex="[a-e]{1,9}", temperature=1.5, seed=5)
    assert alone.token_ids == out.outputs[2].token_ids  # seed + 2


def test_a_stream_grows_into_the_same_text(either_llm):
    want = one(either_llm, ANNA, json=PERSON)
    texts = [o.outputs[0].text for o in either_llm.stream(ANNA, params(json=PERSON))]
    assert texts[-1] == want.text
    assert all(b.startswith(a) for a, b in itertools.pairwise(texts))
    delta = params(json=PERSON, output_kind=RequestOutputKind.DELTA)
    assert "".join(o.outputs[0].text for o in either_llm.stream(ANNA, delta)) == want.text


def test_others_in_the_batch_do_not_notice(either_llm):
    free = [
        SamplingParams(temperature=0, max_tokens=20),
        SamplingParams(temperature=1.0, seed=4, max_tokens=25, ignore_eos=True),
        SamplingParams(temperature=0.8, top_p=0.9, top_k=20, seed=5, max_tokens=15, logprobs=2),
    ]
    bound = [
        params(regex="[a-e]{20}", temperature=1.0, seed=1),
        params(json=PERSON, temperature=0.7, top_p=0.8, seed=2, logprobs=3),
        params(choice=["yes", "no"]),
    ]
    prompts = ["a fox", "the sea", "one two", "b", "c" * 70, "d"]
    each = [p for pair in zip(free, bound, strict=True) for p in pair]
    alone = [
        either_llm.generate(p, e, use_tqdm=False)[0] for p, e in zip(prompts, each, strict=True)
    ]
    together = either_llm.generate(prompts, each, use_tqdm=False)
    assert [o.outputs[0].token_ids for o in together] == [o.outputs[0].token_ids for o in alone]
    for i in (0, 2, 4):
        assert len(together[i].outputs[0].token_ids) > 3


def test_logprobs_are_of_the_raw_logits(ascii_llm):
    prompt = "once"
    made = one(ascii_llm, prompt, regex="[x-z]{4}", logprobs=5)
    assert made.logprobs is not None
    ids = ascii_llm.tokenizer.encode(prompt)
    for i, position in enumerate(made.logprobs):
        free = (
            ascii_llm.generate(
                [ids + made.token_ids[:i]],
                SamplingParams(max_tokens=1, logprobs=20, temperature=0),
                use_tqdm=False,
            )[0]
            .outputs[0]
            .logprobs[0]
        )
        for token, entry in position.items():
            if token in free:
                assert abs(free[token].logprob - entry.logprob) < 1e-4
        assert next(iter(position)) == made.token_ids[i]
    # forced letters are seldom the likeliest
    assert max(p[t].rank for p, t in zip(made.logprobs, made.token_ids, strict=True)) > 1


def test_max_tokens_cuts(either_llm):
    made = one(either_llm, "x", regex="[ab]{50}", max_tokens=7)
    assert (made.finish_reason, len(made.token_ids)) == ("length", 7)
    assert re.fullmatch("[ab]{7,49}", made.text)
    made = one(either_llm, ANNA, json=PERSON, max_tokens=1)
    assert (made.finish_reason, made.text[0]) == ("length", "{")


def test_a_complete_grammar_ends_whatever_else_is_asked(either_llm):
    for options in (
        {"min_tokens": 30},
        {"ignore_eos": True},
        {"ignore_eos": True, "min_tokens": 30},
        {"min_tokens": 30, "temperature": 1.0, "top_k": 3, "top_p": 0.5, "min_p": 0.1},
    ):
        made = one(either_llm, "x", regex="abc", **options)
        assert (made.text, made.finish_reason) == ("abc", "stop")
        assert made.token_ids[-1] in either_llm.intake.eos_ids


def test_where_more_may_follow_eos_waits(either_llm):
    end = next(iter(either_llm.intake.eos_ids))
    made = one(either_llm, "x", regex="[a-c]*", min_tokens=12, max_tokens=12)
    assert len(made.token_ids) == 12
    assert end not in made.token_ids[:11]
    made = one(either_llm, "x", regex="[a-c]*", ignore_eos=True, max_tokens=30)
    assert (len(made.token_ids), made.finish_reason) == (30, "length")
    assert re.fullmatch("[a-c]{30,}", made.text)


def test_stop_strings_and_stop_ids_stop(ascii_llm):
    made = one(ascii_llm, "x", regex="[ab]{20}", stop=["ab", "ba"], temperature=2, seed=0)
    assert made.finish_reason == "stop"
    assert made.stop_reason in ("ab", "ba")
    assert re.fullmatch("a*|b*", made.text)
    b = ascii_llm.tokenizer.encode("b", add_special_tokens=False)[0]
    made = one(ascii_llm, "x", regex="a{3}b{9}", stop_token_ids=[b])
    assert (made.text, made.stop_reason) == ("aaa", b)


def test_the_params_object_may_change_afterwards(ascii_llm):
    asked = params(regex="[ab]{9}")
    stream = ascii_llm.stream("x", asked)
    next(stream)
    asked.structured_outputs.regex = "[xy]{9}"
    assert re.fullmatch("[ab]{9}", list(stream)[-1].outputs[0].text)
    assert re.fullmatch(
        "[xy]{9}", ascii_llm.generate("x", asked, use_tqdm=False)[0].outputs[0].text
    )
    assert asked.clone().structured_outputs is not asked.structured_outputs


# --- generated schemas


def check_schemas(llm, count: int, first: int, prompts: list[str]) -> None:
    wanted = [schema(Random(first + i), depth=3) for i in range(count)]
    each = [
        params(json=w, temperature=(0.0, 0.7, 1.0)[i % 3], seed=i, max_tokens=250)
        for i, w in enumerate(wanted)
    ]
    many = [prompts[i % len(prompts)] for i in range(count)]
    ended = 0
    for w, out in zip(wanted, llm.generate(many, each, use_tqdm=False), strict=True):
        made = out.outputs[0]
        if made.finish_reason == "stop":
            ended += 1
            validate(made.text, w)
    assert ended >= 0.9 * count


PROMPTS = [ANNA, "List the animals as JSON: a fox, two owls.\n", "JSON:"]


def test_generated_schemas(tiny):
    check_schemas(tiny, 100, 0, PROMPTS)


@pytest.mark.slow
def test_many_generated_schemas(tiny):
    check_schemas(tiny, 500, 1000, PROMPTS)


@pytest.mark.slow
def test_generated_schemas_character_by_character(llm):
    """A random model whose vocabulary is single bytes: the most steps, the least help."""
    with LLM(llm.info().path, hf_overrides={"max_position_embeddings": 1024}) as longer:
        check_schemas(longer, 200, 2000, ["a", "b"])


# --- what is refused


REFUSED = [
    ({"json": {"not": {"type": "string"}}}, 'json: keywords that cannot be enforced: "not"'),
    ({"json": {"type": "strin"}}, "json: Invalid type: strin"),
    ({"json": {"type": "string", "pattern": "["}}, "json: unclosed character class"),
    ({"json": {"type": "integer", "minimum": 5, "maximum": 3}}, "json: Unsatisfiable schema"),
    ({"json": {"$ref": "#/definitions/x"}}, "json: Pointer '/definitions/x' does not exist"),
    ({"json": {"$ref": "http://example.com/s"}}, "json: Resource 'http://example.com/s'"),
    ({"json": {"enum": ["\ud800"]}}, "json: unexpected end of hex escape"),
    ({"json_object": True, "whitespace_pattern": "["}, "whitespace_pattern: unclosed"),
    ({"regex": "(a"}, "regex: unclosed group"),
    ({"regex": r"(?=a)"}, "regex: look-around"),
    ({"regex": r"\bfoo"}, "regex: lookarounds not supported"),
    ({"regex": r"(a)\1"}, "regex: backreferences are not supported"),
    ({"regex": r"[^\s\S]"}, "regex: no text of this vocabulary matches"),
    ({"regex": "\ud800"}, "regex: .*surrogates not allowed"),
    ({"choice": ["\ud800"]}, "choice: .*surrogates not allowed"),
    ({"grammar": "start: ("}, r"grammar: line 1, column 9: Expected token '\)'"),
    ({"grammar": "start: other"}, 'grammar: line 1, column 8: unknown name: "other"'),
    ({"grammar": "start: A\nA: /[/"}, "grammar: line 2, column 4: unclosed character class"),
    ({"grammar": 'foo: "a"'}, "grammar: no start rule found"),
    ({"grammar": 'root ::= "a" ('}, r"grammar: Expected '\)'"),
    ({"grammar": "root ::= other"}, "grammar: Rule 'other' not found"),
    ({"grammar": 'root ::= "\\'}, "grammar: it ends inside a rule"),
]


@pytest.mark.parametrize(("wanted", "message"), REFUSED, ids=lambda x: str(x)[:40])
def test_refused_before_anything_runs(tiny, wanted, message):
    good = SamplingParams(max_tokens=3)
    with pytest.raises(ParamError, match="structured_outputs." + message) as error:
        tiny.generate(["a", "b"], [good, params(**wanted)], use_tqdm=False)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert "; got " in str(error.value)
    assert tiny.engine.num_unfinished == 0


def test_refused_for_this_vocabulary_only(tiny, ascii_llm):
    assert one(tiny, "x", regex="é").text == "é"
    with pytest.raises(ParamError, match="no text of this vocabulary matches"):
        one(ascii_llm, "x", regex="é")


def test_without_llguidance(llama, monkeypatch):
    with LLM(llama[0]) as llm:
        monkeypatch.setitem(sys.modules, "llguidance", None)
        with pytest.raises(ParamError, match=r"needs llguidance, .* pip install llguidance"):
            one(llm, "a", regex="a")
        assert one_free(llm)


def one_free(llm) -> str:
    return llm.generate("a", SamplingParams(max_tokens=5), use_tqdm=False)[0].outputs[0].text


BAD_FIELDS = [
    ("json", 3),
    ("json", ["a"]),
    ("json", "{"),
    ("json", "[1]"),
    ("json", {"a": {1}}),
    ("json", {"minimum": float("nan")}),
    ("json", pydantic.BaseModel.__call__),
    ("json", int),
    ("regex", 1),
    ("regex", ""),
    ("regex", re.compile("a")),
    ("choice", []),
    ("choice", "yes"),
    ("choice", [1, 2]),
    ("choice", {}),
    ("grammar", ""),
    ("grammar", b"start:"),
    ("json_object", 1),
    ("json_object", "yes"),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS, ids=lambda x: str(x)[:30])
def test_fields_have_their_types(name, value):
    with pytest.raises(ParamError, match=f"^{name} must be "):
        StructuredOutputsParams(**{name: value})
    good = StructuredOutputsParams(regex="a")
    with pytest.raises(ParamError):
        setattr(good, name, value)
    assert good == StructuredOutputsParams(regex="a")


def test_rules_between_fields():
    for fields in (
        {},
        {"json_object": False},
        {"regex": "a", "choice": ["b"]},
        {"whitespace_pattern": " "},
    ):
        with pytest.raises(ParamError, match="exactly one of json, regex, choice, grammar"):
            StructuredOutputsParams(**fields)
    for fields in ({"regex": "a"}, {"choice": ["a"]}, {"grammar": "start: A"}):
        with pytest.raises(ParamError, match="whitespace_pattern goes with json or json_object"):
            StructuredOutputsParams(**fields, whitespace_pattern=" ")
    assert StructuredOutputsParams(choice=("a", "b")).choice == ["a", "b"]
    with pytest.raises(ParamError, match="did you mean 'regex'"):
        StructuredOutputsParams(regex="a").regx = "b"


# --- outputs that go on


@pytest.mark.parametrize("at", [0, 1, 7, -1])
def test_an_output_goes_on_where_it_was_cut(tiny, at):
    """From its own tokens it becomes what it was, and ends where its grammar ends."""
    whole = tiny.generate(ANNA, params(json=PERSON), use_tqdm=False)[0]
    ids = whole.outputs[0].token_ids[:at]
    begun = {"prompt_token_ids": [*whole.prompt_token_ids, *ids], "num_begun": len(ids)}
    assert [*ids, *one(tiny, begun, json=PERSON).token_ids] == whole.outputs[0].token_ids


def test_what_was_begun_has_to_fit(ascii_llm):
    encode = ascii_llm.tokenizer.encode
    fits, not_ = ({"prompt_token_ids": encode("xab"), "num_begun": n} for n in (2, 3))
    assert re.fullmatch("[a-c]{3}", one(ascii_llm, fits, regex="[a-c]{5}").text)
    with pytest.raises(ParamError, match="structured_outputs, after"):
        one(ascii_llm, not_, regex="[a-c]{5}")
    wanted = StructuredOutputsParams(regex="[a-c]{5}")
    search = BeamSearchParams(beam_width=2, max_tokens=5, structured_outputs=wanted)
    with pytest.raises(ParamError, match="num_begun must be 0"):
        ascii_llm.beam_search(fits, search)
    assert ascii_llm.engine.num_unfinished == 0
