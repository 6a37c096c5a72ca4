"""What a result looks like: safe, deterministic, readable without a style sheet."""

import json

import pytest
from html_page import HOSTILE, Page

from nbllm import views
from nbllm.outputs import CompletionOutput, Logprob, RequestMetrics, RequestOutput


def request(*texts, prompt="p", **changes):
    completions = [
        CompletionOutput(
            index=i,
            text=text,
            token_ids=[1, 2],
            cumulative_logprob=-1.23456,
            finish_reason="stop",
            **changes,
        )
        for i, text in enumerate(texts)
    ]
    metrics = RequestMetrics(
        arrival_time=0, first_token_time=None, finished_time=None, tokens_per_second=None
    )
    return RequestOutput(
        request_id="1-0", prompt=prompt, prompt_token_ids=[1], outputs=completions, finished=True,
        metrics=metrics,
    )  # fmt: skip


def bundle(*outputs, **options):
    return views.bundle(views.completions(outputs, **options))


LOGPROBS = [
    {1: Logprob(logprob=-0.01, rank=1, decoded_token=' "a"<b>'), 2: Logprob(logprob=-4.6, rank=2, decoded_token="\n")},
    {3: Logprob(logprob=-3.0, rank=9, decoded_token="\x1b"), 4: Logprob(logprob=-0.1, rank=1, decoded_token=" c")},
]  # fmt: skip


def test_the_data():
    data = views.completions([request(" a", " b", prompt="x"), request(" c", prompt="y")])
    assert data["version"] == 1
    assert data["kind"] == "completions"
    assert [(o["prompt"], len(o["completions"])) for o in data["outputs"]] == [("x", 2), ("y", 1)]
    assert data["outputs"][0]["completions"][1] == {
        "output": 1, "text": " b", "finish_reason": "stop", "num_tokens": 2, "cumulative_logprob": -1.2346,
    }  # fmt: skip


def test_tokens_come_with_logprobs():
    data = views.completions([request("x", logprobs=LOGPROBS)])
    first, second = data["outputs"][0]["completions"][0]["tokens"]
    assert first == {
        "text": ' "a"<b>', "logprob": -0.01, "rank": 1, "entropy": 0.0561, "top": [[' "a"<b>', -0.01], ["\n", -4.6]],
    }  # fmt: skip
    # sampled outside the top: it is not among the likeliest
    assert second["rank"] == 9
    assert second["top"] == [[" c", -0.1]]
    page = Page(bundle(request("x", logprobs=LOGPROBS))["text/html"])
    spans = [value for name, value in page.attributes if name == "class" and "nbllm-p" in value]
    assert spans[-2:] == ["nbllm-p0 nbllm-e0", "nbllm-p9 nbllm-e3"]
    title = next(value for name, value in page.attributes if name == "title")
    assert title.splitlines()[0] == ' 99.0 %  “ "a"<b>”  rank 1  entropy 0.06'
    assert title.splitlines()[3] == "  1.0 %  “⏎”"


def test_infinite_logprobs_are_json():
    entry = {0: Logprob(logprob=float("-inf"), rank=1, decoded_token="x")}
    text = json.dumps(views.completions([request("x", logprobs=[entry])]), allow_nan=False)
    assert '"logprob": null' in text
    bundle(request("x", logprobs=[entry]))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "logprobs", [None, [{1: Logprob(logprob=-1.0, rank=1, decoded_token=HOSTILE)}]]
)
def test_untrusted_text_is_shown_not_obeyed(count, logprobs):
    shown = bundle(*[request(HOSTILE, HOSTILE, prompt=HOSTILE, logprobs=logprobs)] * count)
    page = Page(shown["text/html"])
    assert set(page.tags) <= {
        "div",
        "style",
        "pre",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert not any(name.startswith("on") or name in ("href", "src") for name, _ in page.attributes)
    assert "<script>alert(1)</script>&amp;" in page.text
    for text in (page.text, shown["text/plain"], *(value for _, value in page.attributes)):
        assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in text)
        assert "\u202e" not in text
    assert "␛[31mred" in page.text
    assert "\\u202eevil" in page.text
    # right-to-left text itself is kept, and each text finds its own direction
    assert "שלום" in page.text
    assert ("dir", "auto") in page.attributes
    # the data is exact
    assert shown[views.MIME]["outputs"][0]["completions"][0]["text"] == HOSTILE


def test_the_same_data_gives_the_same_bytes():
    assert bundle(request("a", "b")) == bundle(request("a", "b"))


def test_every_rule_is_scoped():
    html = bundle(request("x", logprobs=LOGPROBS))["text/html"]
    css = html.split("<style>")[1].split("</style>")[0]
    selectors = [s for rule in css.split("}") if (s := rule.partition("{")[0].strip())]
    assert selectors
    assert all(one.startswith("div.nbllm") for s in selectors for one in s.split(","))


def test_newlines_survive_the_html_parser():
    html = bundle(request("\n\nx", prompt="\n\ny"), request("\n\nx"))["text/html"]
    # a parser drops the first newline of a <pre>
    assert html.count('<pre dir="auto">\n\n\nx</pre>') == 2
    assert '<pre dir="auto" class="nbllm-prompt">\n\n\ny</pre>' in html


def test_plain_text():
    assert bundle(request(" a\nb"))["text/plain"] == " a\nb"
    assert bundle(request("a", "b"))["text/plain"] == "[0] a\n[1] b"
    assert bundle(request("a"), request("b", prompt="q"))["text/plain"] == "> p\na\n> q\nb"


def test_a_grid_says_its_prompt_once():
    data = views.completions([request("a"), request("b")], settings=["t=0", "t=1"])
    assert views.bundle(data)["text/plain"] == "> p\n(t=0)\na\n(t=1)\nb"


def test_a_chat_shows_the_answer_alone():
    page = Page(bundle(request("answer", prompt="<|user|>question"), kind="chat")["text/html"])
    assert "question" not in page.text
    assert "answer" in page.text


def test_long_prompts_keep_their_end():
    text = Page(bundle(request("x", prompt="a" * 1000 + "the end"))["text/html"]).text
    assert "the end" in text
    assert len(text) < 300


def test_large_results_are_cut_and_say_so():
    shown = bundle(*[request("a", "b", "c")] * 50)
    assert sum(len(o["completions"]) for o in shown[views.MIME]["outputs"]) == 100
    assert shown[views.MIME]["omitted"] == 50
    assert "… and 50 more" in shown["text/plain"]
    assert "… and 50 more" in shown["text/html"]
    many = [request("x", logprobs=LOGPROBS * 1500)] * 2
    tokens = ["tokens" in o["completions"][0] for o in views.completions(many)["outputs"]]
    assert tokens == [True, False]


def test_progress():
    shown = views.progress(25, 100, 12345, 10.0)
    assert shown["text/plain"] == "25/100 prompts · 1,234 tokens/s · 0:30 left"
    assert '<progress value="25" max="100">' in shown["text/html"]
    assert views.progress(0, 100, 0, 2.0)["text/plain"] == "0/100 prompts"
    assert views.progress(1, 3, 5, 4000.0)["text/plain"].endswith("2:13:20 left")
    # of 300 that run side by side the first to end says little
    assert views.progress(1, 300, 0, 5.0)["text/plain"] == "1/300 prompts"


def test_remarks_and_a_caption():
    """What people said of texts side by side; none of it is markup."""
    made = {"text": "t", "finish_reason": "stop", "num_tokens": 1, "cumulative_logprob": -1.0}
    data = {
        "version": 1, "kind": "compare", "columns": ["a", "b"], "caption": "a: 1 win\n<i>",
        "rows": [{"prompt": "p", "cells": [[{**made, "remark": "★★ <b>\x1b"}], [made]]}],
    }  # fmt: skip
    bundle = views.bundle(data)
    page = Page(bundle["text/html"])
    assert not {"b", "i"} & set(page.tags)
    for text in (page.text, bundle["text/plain"]):
        assert "★★ <b>␛" in text
        assert text.count("★") == 2
        assert text.rstrip().endswith("<i>")
