"""Results as JupyterLab draws them from a saved notebook, with no kernel."""

import math
import re

import pytest
from browser import lab as driver
from browser import results

pytestmark = pytest.mark.browser

NOTEBOOK = {
    "story": results.story(),
    "several": results.several(),
    "hostile": results.hostile(),
    "chat": results.chat(),
    "code": results.code(),
    "beam": results.beam(),
    "grid": results.grid(),
    "scores": results.scores(),
    "choices": results.choices(),
    "comparison": results.comparison(),
    "conversation": results.conversation(),
    "newer": results.foreign({"version": 1, "kind": "something new"}),
    "future": results.foreign({"version": 2, "anything": []}),
    "damaged": results.foreign({"version": 1, "outputs": [{"completions": [{"text": 7}]}]}),
    "damaged search": results.foreign(results.damaged_search()),
}
THEMES = {
    "light": "JupyterLab Light",
    "dark": "JupyterLab Dark",
    "contrast": "JupyterLab Dark High Contrast",
}


@pytest.fixture(scope="module")
def notebook(lab, page):
    """The page, with a notebook that nobody has trusted or run."""
    names = list(NOTEBOOK)
    driver.write_notebook(lab.root / "saved.ipynb", names, list(NOTEBOOK.values()))
    driver.open_notebook(page, "saved.ipynb", kernel=False)
    return page


@pytest.fixture
def show(notebook):
    """f(name) → what is drawn for that result."""

    def show(name: str):
        notebook.mouse.move(0, 0)
        return driver.output(notebook, list(NOTEBOOK).index(name))

    return show


def test_no_kernel_was_needed(notebook):
    sessions = notebook.evaluate("fetch('/api/sessions').then(reply => reply.json())")
    assert "saved.ipynb" not in [session["path"] for session in sessions]


def test_preferred_over_html(show):
    result = show("story")
    assert "nbllm-result" in result.get_attribute("class")
    assert result.locator("style").count() == 0


def test_one_span_a_token(show):
    assert show("story").locator(".nbllm-token").count() == len(results.STORY)


def test_facts(show):
    facts = show("story").locator("footer").inner_text()
    assert "length · 10 tokens · log-probability " in facts


def test_the_less_likely_the_stronger(show):
    alphas = [alpha(token) for token in show("story").locator(".nbllm-token").all()]
    by_probability = sorted(range(len(alphas)), key=lambda i: results.STORY[i][1])
    assert [alphas[i] for i in by_probability] == sorted(alphas, reverse=True)
    assert min(alphas) < 0.05 < 0.5 < max(alphas) < 0.7


def test_the_shade_can_be_the_entropy(notebook, show):
    result = show("story")
    button, text = result.locator(".nbllm-shade"), result.locator(".nbllm-tokens")
    by_probability = [alpha(token) for token in text.locator(".nbllm-token").all()]
    assert button.inner_text() == "entropy"
    button.click()
    notebook.mouse.move(0, 0)
    assert button.get_attribute("aria-pressed") == "true"
    by_entropy = [alpha(token) for token in text.locator(".nbllm-token").all()]
    entropies = [sum(-p * math.log(p) for p in shares) for shares in map(all_shares, results.STORY)]
    order = sorted(range(len(entropies)), key=entropies.__getitem__)
    assert [by_entropy[i] for i in order] == pytest.approx(sorted(by_entropy), abs=0.02)
    assert by_entropy != by_probability
    button.click()
    assert [alpha(token) for token in text.locator(".nbllm-token").all()] == by_probability


def all_shares(entry):
    _, p, others = entry
    shares = [p, *(q for _, q in others)]
    return [*shares, max(1e-12, 1 - sum(shares))]


def test_no_entropy_no_button(show):
    assert show("several").locator(".nbllm-shade").count() == 0


def test_a_grid_says_its_settings_and_its_prompt_once(show):
    result = show("grid")
    assert result.locator(".nbllm-prompt").count() == 1
    shown = [note.inner_text() for note in result.locator("section > .nbllm-note").all()]
    assert shown == ["temperature=0", "temperature=0.7"]


def test_choices_are_drawn_as_their_html(show):
    result = show("choices")
    assert result.locator("table").count() == 1
    assert result.locator("script, img").count() == 0
    assert "75.0 %" in result.locator("td").nth(1).inner_text()


def test_pointing_shows_alternatives(notebook, show):
    result = show("story")
    box = result.locator(".nbllm-alternatives")
    assert not box.is_visible()
    result.locator(".nbllm-token").nth(3).hover()
    assert box.locator(".nbllm-chosen").inner_text().split("\n") == [
        "“ north”",
        "4.0 % · rank 3 · entropy 1.20",
    ]
    rows = [row.split("\n") for row in box.locator(".nbllm-row").all_inner_texts()]
    assert rows == [["“ into”", "41.0 %"], ["“ away”", "30.0 %"], ["“ north”", "4.0 %"]]
    assert box.locator(".nbllm-row-chosen").count() == 1
    notebook.mouse.move(0, 0)
    assert not box.is_visible()


def test_alternatives_stay_inside_the_window(notebook, show):
    result = show("story")
    box = result.locator(".nbllm-alternatives")
    for i in range(len(results.STORY)):
        result.locator(".nbllm-token").nth(i).hover()
        at, size = box.bounding_box(), notebook.viewport_size
        assert at["x"] >= 0
        assert at["y"] >= 0
        assert at["x"] + at["width"] <= size["width"]
        assert at["y"] + at["height"] <= size["height"]


def test_keyboard(notebook, show):
    result = show("story")
    tokens, box = result.locator(".nbllm-token"), result.locator(".nbllm-alternatives")
    cell = driver.active_cell(notebook)
    result.locator(".nbllm-copy").focus()
    notebook.keyboard.press("Shift+Tab")
    notebook.keyboard.press("ArrowRight")
    notebook.keyboard.press("ArrowRight")
    assert tokens.nth(2).evaluate("node => node === document.activeElement")
    assert "“ sailed”" in box.inner_text()
    assert tokens.nth(2).get_attribute("aria-describedby") == box.get_attribute("id")
    notebook.keyboard.press("Escape")
    assert not box.is_visible()
    notebook.keyboard.press("End")
    assert "“⏎”" in box.locator(".nbllm-chosen").inner_text()
    # one stop of the Tab key for all tokens
    notebook.keyboard.press("Tab")
    assert result.locator(".nbllm-copy").evaluate("node => node === document.activeElement")
    assert not box.is_visible()
    assert driver.active_cell(notebook) == cell


def test_a_click_leaves_the_keys_to_jupyterlab(notebook, show):
    show("story").locator(".nbllm-token").nth(3).click()
    cell = driver.active_cell(notebook)
    notebook.keyboard.press("ArrowDown")
    assert driver.active_cell(notebook) == cell + 1
    assert show("story").locator('.nbllm-token[tabindex="0"]').count() == 1


@pytest.mark.parametrize("secure", [True, False])
def test_copy(notebook, show, secure):
    result = show("hostile")
    notebook.evaluate("navigator.clipboard.writeText('nothing')")
    if not secure:
        hide = "Object.defineProperty(navigator, 'clipboard', {configurable: true})"
        notebook.evaluate(f"() => {{ {hide}; }}")
    button = result.locator(".nbllm-copy").last
    button.click()
    notebook.evaluate("delete navigator.clipboard")
    notebook.wait_for_function("node => node.textContent === 'copied'", arg=button.element_handle())
    assert notebook.evaluate("navigator.clipboard.readText()") == results.HOSTILE


def test_untrusted_text_is_inert(notebook, show):
    result = show("hostile")
    result.locator(".nbllm-token").hover()
    assert "<img src=x onerror" in result.locator(".nbllm-alternatives").inner_text()
    assert result.locator("img, script").count() == 0
    assert notebook.evaluate("window.hacked") is None
    text = result.inner_text()
    assert "\u241b[31m \\u202eevil\\x9b" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_several_completions(show):
    result = show("several")
    assert result.locator(".nbllm-output").count() == 2
    assert result.locator(".nbllm-number").all_inner_texts() == ["0", "1"]


def test_long_prompts_are_folded(show):
    prompt = show("several").locator("details")
    assert prompt.locator(".nbllm-preview").inner_text().endswith("⏎ ⏎ Answer:")
    assert (
        prompt.locator(".nbllm-size").inner_text() == f"prompt · {len(results.LONG):,} characters"
    )
    assert not prompt.locator(".nbllm-text").is_visible()
    prompt.locator("summary").click()
    assert prompt.locator(".nbllm-text").inner_text() == results.LONG
    prompt.locator("summary").click()


def test_a_chat_shows_the_answer_only(show):
    result = show("chat")
    assert "Hello" not in result.inner_text()
    assert (
        result.locator(".nbllm-text").evaluate("node => getComputedStyle(node).direction") == "rtl"
    )


def test_white_space(show):
    result = show("code")
    code = result.locator(".nbllm-tokens")
    assert code.inner_text() == "def f(x):⏎\n    return x⇥\t# done⏎\n∅"
    # what a person selects and copies has no marks
    selected = (
        "node => { getSelection().selectAllChildren(node); return getSelection().toString(); }"
    )
    assert code.evaluate(selected).rstrip("\n") == "def f(x):\n    return x\t# done"


def test_probabilities_are_never_rounded_to_nothing(show):
    result = show("story")
    result.locator(".nbllm-token").nth(6).hover()
    assert "0.03 % · rank 3" in result.locator(".nbllm-chosen").inner_text()


def test_an_update_replaces_what_was_drawn(notebook, show):
    result = show("chat")
    update = """([index, data]) => {
        const outputs = window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs;
        outputs.set(0, {output_type: 'display_data', metadata: {}, data});
    }"""
    index = list(NOTEBOOK).index("chat")
    notebook.evaluate(update, [index, results.bundle(results.request("p", *results.PAIR))])
    assert result.locator(".nbllm-completion").count() == 2
    notebook.evaluate(update, [index, NOTEBOOK["chat"]])
    assert result.locator(".nbllm-completion").count() == 1


def test_a_beam_search_has_its_sequences_and_its_tree(notebook, show):
    result = show("beam")
    rows = result.locator("tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == ["#1", "#2", "#3"]
    assert result.locator(".nbllm-end").all_inner_texts() == ["#1", "#2", "#3"]
    assert result.locator(".nbllm-turn").count() == 2
    assert "the search: 3 beams, 6 steps" in result.locator("summary").first.inner_text()
    assert "dropped after step" in result.locator(".nbllm-left").first.inner_text()
    # a notebook that nobody has trusted is drawn like any other
    assert result.locator("style, script, img").count() == 0
    assert "<img src=x onerror" in result.inner_text()
    assert notebook.evaluate("window.hacked") is None


def test_a_token_of_a_search_tells_what_else_there_was(notebook, show):
    result = show("beam")
    result.locator(".nbllm-tree .nbllm-piece").first.hover()
    box = result.locator(".nbllm-alternatives")
    assert re.search(r"50\.0 % · step 1 · rank 1", box.locator(".nbllm-chosen").inner_text())
    states = box.locator(".nbllm-row .nbllm-state").all_inner_texts()
    assert set(states) <= {"live", "pruned", "finished", "returned"}
    assert len(states) == 3
    notebook.mouse.move(0, 0)
    assert not box.is_visible()


def test_a_search_by_keyboard(notebook, show):
    result = show("beam")
    button = result.locator(".nbllm-rank").nth(1)
    button.focus()
    notebook.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    on_path = result.locator(".nbllm-tree .nbllm-on-path")
    text = "".join(on_path.all_inner_texts()).replace("⏎", "\n")
    shown = result.locator("tbody tr").nth(1).locator(".nbllm-text")
    assert text == shown.evaluate("node => node.textContent")
    # then the tokens of the sequence are one stop, and those of the tree another
    notebook.keyboard.press("Tab")
    notebook.keyboard.press("ArrowRight")
    box = result.locator(".nbllm-alternatives")
    assert "step 2" in box.inner_text()
    notebook.keyboard.press("Escape")
    assert not box.is_visible()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert on_path.count() == 0


def test_scores_can_be_sorted(notebook, show):
    result = show("scores")
    rows = result.locator("tbody tr")

    def order():
        return [row.split("\t")[1].strip()[:6] for row in rows.all_inner_texts()]

    assert order() == ["likely", "<img s", "imposs"]
    assert rows.nth(2).inner_text().split("\t")[2] == "−∞"
    button = result.get_by_role("button", name="perplexity")
    button.click()
    assert order() == ["<img s", "likely", "imposs"]
    assert result.locator("[aria-sort=descending]").count() == 1
    button.focus()
    notebook.keyboard.press("Enter")
    assert order() == ["likely", "<img s", "imposs"]
    button = result.get_by_role("button", name="log-prob.")
    button.click()
    button.click()
    assert order() == ["<img s", "likely", "imposs"]
    button.click()
    assert order() == ["likely", "<img s", "imposs"]
    assert result.locator("[aria-sort=none]").count() == 4


def test_choices_have_their_shares(show):
    result = show("choices")
    assert result.locator(".nbllm-row .nbllm-percent").all_inner_texts() == ["75.0 %", "25.0 %"]
    assert result.locator(".nbllm-row-chosen").inner_text().split() == ["good", "75.0", "%"]
    widths = result.locator(".nbllm-row").evaluate_all(
        "nodes => nodes.map(node => getComputedStyle(node).backgroundSize)"
    )
    assert widths == ["75% 100%", "25% 100%"]


def test_settings_stand_side_by_side(show):
    result = show("comparison")
    assert [title[:6] for title in result.locator("thead th").all_inner_texts()] == [
        "prompt", "greedy", "<img s",
    ]  # fmt: skip
    cells = result.locator("tbody td")
    assert cells.nth(1).locator(".nbllm-completion").count() == 1
    assert cells.nth(2).locator(".nbllm-number").all_inner_texts() == ["0", "1"]
    # what a PromptGrid keeps of ratings and of a blind comparison
    [remark] = result.locator(".nbllm-remark").all_inner_texts()
    assert remark.startswith("★★★ <img")
    assert result.locator(".nbllm-note", has_text="greedy: 1 win").count() == 1
    assert result.locator("img, script").count() == 0


def test_a_conversation(notebook, show):
    result = show("conversation")
    roles = result.locator("h4").all_inner_texts()
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    assert result.locator("li").nth(2).locator(".nbllm-token").count() == len(results.STORY)
    direction = "node => getComputedStyle(node).direction"
    assert result.locator("li").nth(3).locator(".nbllm-text").evaluate(direction) == "rtl"
    assert result.locator("img, script").count() == 0
    assert notebook.evaluate("window.hacked") is None


def test_a_kind_of_a_newer_nbllm_is_shown_as_its_html(notebook, show):
    result = show("newer")
    result.locator("b", has_text="html").click()
    # nobody has trusted this notebook
    assert result.locator("script").count() == 0
    assert notebook.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("name", "why"), [("future", "format 2"), ("damaged", "damaged"), ("damaged search", "damaged")]
)
def test_what_cannot_be_drawn_is_said(show, name, why):
    line, text = show(name).inner_text().split("\n")
    assert why in line
    assert text == "the plain text"


@pytest.mark.parametrize("theme", THEMES)
def test_readable_in_every_theme(notebook, show, shots, theme):
    driver.set_theme(notebook, THEMES[theme])
    for token in show("story").locator(".nbllm-token").all():
        assert contrast(token) > 4.5
    for name in NOTEBOOK:
        result = show(name)
        if result.locator(".nbllm-token").count():
            result.locator(".nbllm-token").nth(-1 if name != "story" else 6).hover()
        notebook.screenshot(path=shots / f"{name}-{theme}.png")


def test_nothing_went_wrong(show, errors):
    show("story")
    # ipywidgets 8.1 trips over any notebook without a kernel
    assert [error for error in errors if "/@jupyter-widgets/" not in error] == []


def alpha(token) -> float:
    """How opaque a token's shade is."""
    return channels(token.evaluate("node => getComputedStyle(node).backgroundColor"))[3]


def contrast(token) -> float:
    """The ratio of WCAG between a token and its shade on the notebook."""
    text, shade, page = (
        channels(color)
        for color in token.evaluate(
            """node => [
                getComputedStyle(node).color,
                getComputedStyle(node).backgroundColor,
                getComputedStyle(node.closest('.jp-Notebook')).backgroundColor,
            ]"""
        )
    )
    behind = [shade[3] * s + (1 - shade[3]) * p for s, p in zip(shade, page, strict=True)]
    ink = [text[3] * t + (1 - text[3]) * b for t, b in zip(text, behind, strict=True)]
    low, high = sorted((luminance(ink), luminance(behind)))
    return (high + 0.05) / (low + 0.05)


def channels(color: str) -> list[float]:
    """Red, green, blue, alpha from 0 to 1, of `rgb(…)`, `rgba(…)` or `color(srgb … / …)`."""
    numbers = [float(x) for x in re.findall(r"[\d.]+(?:e-\d+)?", color.removeprefix("color(srgb"))]
    scale = 1 if color.startswith("color(") else 255
    return [*(x / scale for x in numbers[:3]), *(numbers[3:] or [1.0])]


def luminance(rgb: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
