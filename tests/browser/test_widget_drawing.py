"""What each widget draws, with no kernel and no JupyterLab: the fake model says what Python would."""

import re

import pytest
from browser import axe, results
from browser.esm import mount

from nbllm import views
from nbllm.widgets.diff import word_diff
from nbllm.widgets.modules import css, esm

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
[STORY] = results.story()[views.MIME]["outputs"][0]["completions"]
LINE = {"prompt": "Write.", "settings": "temperature=0.7", "reason": "stop", "num_tokens": 10}
PLAYGROUND = {
    "running": False, "result": {}, "history": [], "pins": {}, "diff": [], "code": "", "shown": 0,
    "facts": "",
}  # fmt: skip


def line(run, text="some text", **more):
    return {"run": run, "text": text, **LINE, **more}


def token(text, logprob=-0.5, top=()):
    return {"text": text, "logprob": logprob, "rank": 1, "entropy": 0.5, "top": list(top)}


@pytest.fixture
def playground(bare):
    """An empty Playground's view."""
    sheets = css("frame", "tokens", "completions", "compared", "playground")
    return mount(bare, esm("playground"), sheets, PLAYGROUND)


def more(view, run, start, *texts, output=0):
    tokens = [token(text) for text in texts]
    part = {"output": output, "start": start, "tokens": tokens}
    view.message({"kind": "more", "run": run, "parts": [part]})


def test_one_span_a_token_shaded_by_its_probability(playground):
    playground.set(result={"run": 1, "completions": [STORY]})
    tokens = playground.find(".nbllm-token")
    assert tokens.count() == len(results.STORY)
    shades = tokens.evaluate_all(
        "nodes => nodes.map(n => +getComputedStyle(n).backgroundColor.match(/[\\d.]+(?=\\)$)/)[0])"
    )
    by_probability = sorted(range(len(shades)), key=lambda i: results.STORY[i][1])
    assert [shades[i] for i in by_probability] == sorted(shades, reverse=True)
    assert (
        "length · 10 tokens · log-probability −"
        in playground.find(".nbllm-facts").first.inner_text()
    )


def test_pointing_and_arrow_keys(playground):
    playground.set(result={"run": 1, "completions": [STORY]})
    box = playground.find(".nbllm-alternatives")
    playground.find(".nbllm-token").nth(3).hover()
    assert box.locator(".nbllm-chosen").inner_text().split("\n") == [
        "“ north”", "4.0 % · rank 3 · entropy 1.20",
    ]  # fmt: skip
    rows = [row.split("\n") for row in box.locator(".nbllm-row").all_inner_texts()]
    assert rows == [["“ into”", "41.0 %"], ["“ away”", "30.0 %"], ["“ north”", "4.0 %"]]
    playground.page.mouse.move(0, 0)
    assert not box.is_visible()
    playground.page.keyboard.press("Tab")
    while not playground.find(".nbllm-token").first.evaluate("n => n === document.activeElement"):
        playground.page.keyboard.press("Tab")
    playground.page.keyboard.press("End")
    assert "“⏎”" in box.inner_text()
    playground.page.keyboard.press("Escape")
    assert not box.is_visible()


def test_a_text_grows(playground):
    playground.set(running=True)
    more(playground, 1, 0, "The", " sea")
    first = playground.find(".nbllm-token").first.element_handle()
    more(playground, 1, 2, " is", "\n")
    assert playground.find(".nbllm-tokens").text_content() == "The sea is⏎\n"
    completion = {
        **STORY, "text": "The sea is\n", "tokens": [token(t) for t in ("The", " sea", " is", "\n")],
    }  # fmt: skip
    playground.set(running=False, result={"run": 1, "completions": [completion]})
    # nothing was drawn twice
    assert first.evaluate("node => node.isConnected")
    assert playground.find(".nbllm-token").count() == 4
    assert playground.sent() == []


def test_what_was_missed_is_asked_for(playground):
    more(playground, 1, 5, "late")
    assert playground.sent() == [{"action": "draw"}]
    assert playground.find(".nbllm-token").count() == 0
    playground.set(
        result={"run": 1, "completions": [{**STORY, "tokens": [token("a"), token("b")]}]}
    )
    more(playground, 1, 2, "c")
    assert playground.find(".nbllm-token").count() == 3


def test_a_new_run_replaces_the_old_with_its_first_token(playground):
    playground.set(result={"run": 1, "completions": [STORY]})
    playground.set(running=True)
    old = playground.find(".nbllm-completion")
    assert old.evaluate("node => getComputedStyle(node).opacity") == "0.5"
    more(playground, 2, 0, "new")
    assert playground.find(".nbllm-token").all_inner_texts() == ["new"]
    assert old.evaluate("node => getComputedStyle(node).opacity") == "1"


def test_several_completions_are_numbered(playground):
    more(playground, 1, 0, "b", output=1)
    more(playground, 1, 0, "a", output=0)
    second = {**STORY, "output": 1, "text": "plain", "tokens": None}
    del second["tokens"]
    playground.set(result={"run": 1, "completions": [STORY, second]})
    numbers = playground.find(".nbllm-output-number")
    assert numbers.all_inner_texts() == ["0", "1"]
    assert playground.find(".nbllm-text").nth(1).inner_text() == "plain"


def test_pins(playground):
    left, right = word_diff("the old cat", "the new cat")
    playground.set(shown=2, history=[line(1), line(2)])
    playground.page.get_by_role("button", name="pin A", exact=True).click()
    assert playground.sent() == [{"action": "pin", "name": "A"}]
    pins = {"A": {**line(1), "whole": "the old cat"}, "B": {**line(2), "whole": "the new cat"}}
    playground.set(pins=pins, diff=[left, right])
    assert playground.find("del").all_inner_texts() == ["old "]
    assert playground.find("ins").all_inner_texts() == ["new "]
    pressed = playground.find("button[aria-pressed=true]").all_text_contents()
    assert pressed == ["pin B", "B", "A"]
    playground.page.get_by_role("button", name="unpin A").click()
    playground.find("summary").click()
    playground.page.get_by_role("button", name="B: unpin run 2").click()
    playground.page.get_by_role("button", name="restore run 1").click()
    assert playground.sent() == [
        {"action": "unpin", "name": "A"}, {"action": "unpin", "name": "B"},
        {"action": "restore", "run": 1},
    ]  # fmt: skip


def test_the_latest_run_is_the_first_line(playground):
    playground.set(history=[line(1), line(2)], shown=1)
    rows = playground.find("tbody tr")
    playground.find("summary").click()
    assert [r.locator("td").first.inner_text() for r in rows.all()] == ["2", "1"]
    assert rows.nth(1).get_attribute("aria-current") == "true"
    assert playground.find("summary").inner_text() == "History: 2 runs"


def test_to_dataframe_and_to_code(playground):
    name = playground.page.get_by_role("textbox", name="variable for the DataFrame")
    frame = playground.page.get_by_role("button", name="to DataFrame")
    assert frame.is_disabled()
    playground.set(history=[line(1)])
    name.fill("mine")
    frame.click()
    name.press("Enter")
    playground.page.get_by_role("button", name="to code: the cell that does the same").click()
    assert playground.sent() == [
        {"action": "frame", "name": "mine"}, {"action": "frame", "name": "mine"}, {"action": "code"},
    ]  # fmt: skip
    playground.set(code="%%generate -t 0\n  two\n  lines")
    assert playground.find(".nbllm-code").inner_text() == "%%generate -t 0\n  two\n  lines"


def test_untrusted_text_is_inert(playground):
    top = [[HOSTILE, -0.5]]
    completion = {
        **STORY,
        "text": HOSTILE,
        "finish_reason": HOSTILE,
        "tokens": [token(HOSTILE, top=top)],
    }
    pins = {n: {**line(1, HOSTILE, settings=HOSTILE), "whole": HOSTILE} for n in "AB"}
    playground.set(
        result={"run": 1, "completions": [completion]}, facts=HOSTILE, code=HOSTILE, shown=1,
        error=HOSTILE, note=HOSTILE, history=[line(1, HOSTILE, prompt=HOSTILE, settings=HOSTILE)],
        pins=pins, diff=[[[True, HOSTILE]], [[False, HOSTILE]]],
    )  # fmt: skip
    playground.find("summary").click()
    playground.find(".nbllm-token").hover()
    assert playground.find("img, script, a, iframe").count() == 0
    assert playground.page.evaluate("window.hacked") is None
    text = playground.page.locator("body").inner_text()
    assert text.count("<img src=x onerror") >= 9
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_nothing_is_left(playground):
    playground.set(result={"run": 1, "completions": [STORY]})
    assert playground.done() == 0


MODEL = {
    "name": "tiny", "current": True, "architecture": "LlamaForCausalLM", "num_parameters": 7_900_000,
    "dtype": "float32", "device": "cpu", "max_model_len": 2048, "quantization": None, "adopted": False,
    "asleep": False, "memory": {"weights": 2**25 - 2**20, "tables": 2**20, "kv_cache": 2**30},
    "device_memory": {"free": 2**33, "total": 2**33 + 2**31 + 2**30 + 2**25},
    "kv_cache_bound": 2**30, "num_used_pages": 3, "num_pages": 100, "prefix_cache_hits": 30,
    "prefix_cache_queries": 120, "generation_tokens": 1234, "speeds": [0.0, 50.0, 25.0], "calls": [],
    "more_calls": 0,
}  # fmt: skip
CALL = {
    "id": "4", "began": 0, "prompt": "Once", "prompts": 3, "waiting": 1, "state": "running",
    "num_tokens": 12, "max_tokens": 90,
}  # fmt: skip


@pytest.fixture
def status(bare):
    return mount(bare, esm("engine_status"), css("frame", "engine_status"), {"models": [MODEL]})


def test_an_engine(status):
    text = status.find(".nbllm-model").inner_text()
    for part in (
        "tiny (current)", "LlamaForCausalLM · 7.9M parameters · float32 on cpu · context 2,048", "weights 32.0 MiB", "KV cache 1.00 GiB",
        "3 of 100 in use, at most 1.00 GiB", "25 % of 120 prompt tokens", "1,234 tokens",
        "25 tokens/s, highest 50",
    ):  # fmt: skip
        assert part in text
    widths = status.find(".nbllm-memory-bar > span").evaluate_all("n => n.map(x => x.offsetWidth)")
    sizes = [2**25, 2**30, 2**31, 2**33]
    for width, size in zip(widths, sizes, strict=True):
        assert width / sum(widths) == pytest.approx(size / sum(sizes), abs=0.01)
    points = status.find("polyline").get_attribute("points").split()
    assert [float(p.split(",")[1]) for p in points] == [35.0, 1.0, 18.0]


def test_calls_are_updated_in_place(status):
    status.set(models=[{**MODEL, "calls": [CALL]}])
    stop = status.page.get_by_role("button", name="stop call 4")
    stop.focus()
    later = {**CALL, "num_tokens": 40, "prompt": HOSTILE}
    status.set(models=[{**MODEL, "calls": [later, {**CALL, "id": "5"}], "more_calls": 7}])
    assert stop.evaluate("node => node === document.activeElement")
    assert "40 of 90" in status.find("tbody tr").first.inner_text()
    assert "running, 1 waiting" in status.find("tbody tr").first.inner_text()
    assert "… and 7 more calls" in status.find(".nbllm-model").inner_text()
    assert status.find("img").count() == 0
    stop.press("Enter")
    status.page.get_by_role("button", name="stop all calls of tiny").click()
    assert status.sent() == [
        {"action": "stop", "model": "tiny", "call": "4"}, {"action": "stop", "model": "tiny"},
    ]  # fmt: skip
    status.set(models=[{**MODEL, "calls": [{**CALL, "id": "5"}]}])
    assert status.find("tbody tr").count() == 1


def test_engines_come_and_go(status):
    status.set(models=[MODEL, {**MODEL, "name": "other", "current": False, "asleep": True}])
    assert status.find("h4").all_inner_texts() == ["tiny (current)", "other"]
    status.page.get_by_role("button", name="wake other up").click()
    status.page.get_by_role("button", name="sleep: tiny").click()
    assert [m["action"] for m in status.sent()] == ["wake", "sleep"]
    status.set(models=[])
    status.page.get_by_role("button", name="load the bundled model").click()
    assert status.sent() == [{"action": "load"}]
    assert status.find(".nbllm-model").count() == 0
    assert status.done() == 0


def test_unloading_asks_once_more(status):
    unload = status.find("button").get_by_text("unload")
    unload.click()
    assert status.sent() == []
    status.page.get_by_role("button", name="really unload?").click()
    assert status.sent() == [{"action": "unload", "model": "tiny"}]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_jupyterlab_it_is_readable_too(bare, shots, scheme):
    """Colours of the system, as elsewhere than in JupyterLab."""
    if reason := axe.missing():
        pytest.skip(reason)
    bare.emulate_media(color_scheme=scheme)
    bare.evaluate("scheme => { document.documentElement.style.colorScheme = scheme; }", scheme)
    left, right = word_diff("the old cat", "the new cat")
    pins = {"A": {**line(1), "whole": "the old cat"}, "B": {**line(2), "whole": "the new cat"}}
    state = {
        **PLAYGROUND, "result": {"run": 1, "completions": [STORY]}, "history": [line(1), line(2)],
        "shown": 2, "pins": pins, "diff": [left, right], "code": "%%generate", "error": "no", "facts": "run 2",
    }  # fmt: skip
    sheets = css("frame", "tokens", "completions", "compared", "playground")
    view = mount(bare, esm("playground"), sheets, state)
    view.find("summary").click()
    view.find(".nbllm-token").nth(6).hover()
    bare.screenshot(path=shots / f"playground-bare-{scheme}.png")
    assert axe.violations(bare, ".nbllm-panel") == []
    mount(
        bare,
        esm("engine_status"),
        css("frame", "engine_status"),
        {"models": [{**MODEL, "calls": [CALL]}]},
    )
    bare.screenshot(path=shots / f"engine-status-bare-{scheme}.png")
    assert axe.violations(bare, ".nbllm-panel") == []
    bare.emulate_media(color_scheme=None)


def test_axe_finds_what_is_wrong(bare):
    """The helper is no yes-man."""
    if reason := axe.missing():
        pytest.skip(reason)
    bare.evaluate("document.body.innerHTML = '<div id=x><button></button></div>'")
    assert "button-name" in axe.violations(bare, "#x")[0]


def test_nothing_went_wrong(bare, errors):
    assert errors == []
