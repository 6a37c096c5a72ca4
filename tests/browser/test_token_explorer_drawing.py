"""What a TokenExplorer draws, with no kernel: the fake model says what Python would."""

import re

import pytest
from browser import axe, results
from browser.esm import mount

from nbllm.widgets.modules import css, esm

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
SHEETS = css("frame", "tokens", "completions", "compared", "token_explorer")
EMPTY = {
    "running": False, "result": {}, "shown": 0, "position": 0, "prompt": "", "facts": "", "forks": [],
    "branches": [], "pins": {},
}  # fmt: skip
WORDS = [" little", " king", " named", " Mark", "."]


def token(text, logprob=-0.5):
    return {
        "text": text, "logprob": logprob, "rank": 1, "entropy": 0.5,
        "top": [[text, logprob], [" fox", -1.5], [" owl", -2.5]],
    }  # fmt: skip


def completion(words=WORDS):
    return {
        "output": 0, "text": "".join(words), "finish_reason": "length", "num_tokens": len(words),
        "cumulative_logprob": -2.5, "tokens": [token(word) for word in words],
    }  # fmt: skip


def line(branch, depth=0, **more):
    return {
        "branch": branch, "depth": depth, "name": f"branch {branch}", "position": 0, "token": None,
        "logprob": None, "text": "little king", "num_tokens": 5, "cumulative_logprob": -2.5,
        "reason": "length", **more,
    }  # fmt: skip


CHILD = {"position": 2, "token": " called", "logprob": -3.2}
SHOWN = {
    **EMPTY, "result": {"run": 1, "completions": [completion()]}, "shown": 1, "prompt": "Once, a",
    "facts": "branch 1 · tiny", "branches": [line(1), line(2, 1, **CHILD)], "forks": [[2, [2]]],
}  # fmt: skip


def side(branch, words, **more):
    return {
        **line(branch), "whole": "".join(words), "shared": 2, "after": -1.5, "differs": None,
        "tokens": [token(word) for word in words], **more,
    }  # fmt: skip


PINNED = {
    "pins": {
        "A": side(1, WORDS, differs=[[2, 3], [4, 5]]),
        "B": side(2, [*WORDS[:2], " called", " Mark", "!"], differs=[[2, 3], [4, 4], [4, 5]]),
    }
}


@pytest.fixture
def explorer(bare):
    """A branch of five tokens, and another that parts from it."""
    bare.mouse.move(0, 0)
    return mount(bare, esm("token_explorer"), SHEETS, SHOWN)


def tokens(view):
    return view.find(".nbllm-branch-text .nbllm-token")


def dialog(view):
    return view.page.get_by_role("dialog")


def focused(view, node):
    return node.evaluate("node => node === document.activeElement")


def test_empty(bare):
    view = mount(bare, esm("token_explorer"), SHEETS, EMPTY)
    assert not view.find(".nbllm-branch-text").is_visible()
    assert not view.page.get_by_role("button", name="remove").is_visible()
    assert view.page.get_by_role("button", name="to DataFrame").is_disabled()
    assert view.done() == 0


def test_a_branch(explorer):
    assert explorer.find(".nbllm-branch-prompt").inner_text() == "Once, a"
    assert tokens(explorer).all_inner_texts() == WORDS
    assert explorer.find(".nbllm-facts").first.inner_text() == "branch 1 · tiny"
    forks = tokens(explorer).evaluate_all("n => n.map(x => x.classList.contains('nbllm-fork'))")
    assert forks == [False, False, True, False, False]


def test_a_child_shows_what_is_its_parents(explorer):
    explorer.set(shown=2, position=2, result={"run": 2, "completions": [completion()]})
    classes = tokens(explorer).evaluate_all(
        "n => n.map(x => ['nbllm-inherited', 'nbllm-parts-here'].filter(c => x.classList.contains(c)))"
    )
    assert classes == [["nbllm-inherited"]] * 2 + [["nbllm-parts-here"], [], []]


def test_clicking_an_alternative(explorer):
    tokens(explorer).nth(1).click()
    assert dialog(explorer).get_attribute("aria-label") == "Alternatives at position 1"
    rows = [r.split("\n") for r in dialog(explorer).locator(".nbllm-row").all_inner_texts()]
    assert rows == [["“ king”", "60.7 %"], ["“ fox”", "22.3 %"], ["“ owl”", "8.2 %"]]
    assert dialog(explorer).locator("[aria-current=true]").inner_text().startswith("“ king”")
    dialog(explorer).get_by_role("button", name="fox").click()
    assert explorer.sent() == [{"action": "branch", "of": 1, "position": 1, "choice": 1}]
    assert not dialog(explorer).is_visible()


def test_by_keyboard(explorer):
    keyboard = explorer.page.keyboard
    tokens(explorer).first.focus()
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    rows = dialog(explorer).locator(".nbllm-row")
    assert focused(explorer, rows.first)
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    assert focused(explorer, rows.nth(2))
    keyboard.press("ArrowUp")
    keyboard.press("Enter")
    assert explorer.sent() == [{"action": "branch", "of": 1, "position": 2, "choice": 1}]
    # the new branch has the focus where it parts
    explorer.set(shown=3, position=2)
    explorer.set(result={"run": 2, "completions": [completion(WORDS[:3])]})
    assert focused(explorer, tokens(explorer).nth(2))
    keyboard.press("Enter")
    keyboard.press("Escape")
    assert not dialog(explorer).is_visible()
    assert focused(explorer, tokens(explorer).nth(2))


def test_pointing_shows_the_box_and_clicking_elsewhere_closes_the_dialog(explorer):
    box = explorer.find(".nbllm-branch-text [role=tooltip]")
    tokens(explorer).nth(3).hover()
    assert box.is_visible()
    tokens(explorer).nth(3).click()
    assert not box.is_visible()
    explorer.page.mouse.click(5, 700)
    assert not dialog(explorer).is_visible()
    assert explorer.sent() == []


def test_other_text_and_drawing_again(explorer):
    tokens(explorer).nth(1).click()
    field = dialog(explorer).get_by_role("textbox", name="other text")
    field.press("Enter")
    assert explorer.sent() == []
    field.fill(" big, red")
    field.press("Enter")
    tokens(explorer).nth(1).click()
    dialog(explorer).get_by_role("button", name="draw again").click()
    assert explorer.sent() == [
        {"action": "branch", "of": 1, "position": 1, "text": " big, red"},
        {"action": "branch", "of": 1, "position": 1},
    ]


def test_where_others_part_they_can_be_shown(explorer):
    tokens(explorer).nth(2).click()
    dialog(explorer).get_by_role("button", name="branch 2: show this branch").click()
    assert explorer.sent() == [{"action": "show", "branch": 2}]
    tokens(explorer).nth(1).click()
    assert dialog(explorer).get_by_text("others here").count() == 0


def test_it_grows_and_what_is_new_can_be_chosen_at(explorer):
    explorer.set(running=True)
    first = tokens(explorer).first.element_handle()
    part = {"output": 0, "start": 5, "tokens": [token(" He"), token(" sat")]}
    explorer.message({"kind": "more", "run": 1, "parts": [part]})
    assert first.evaluate("node => node.isConnected")
    assert tokens(explorer).count() == 7
    assert explorer.page.get_by_role("button", name="continue").is_disabled()
    # how many there are is said at the end
    assert not explorer.find(".nbllm-completion .nbllm-facts").is_visible()
    tokens(explorer).nth(6).click()
    dialog(explorer).get_by_role("button", name="owl").click()
    assert explorer.sent() == [{"action": "branch", "of": 1, "position": 6, "choice": 2}]


def test_the_dialog_of_a_text_that_is_gone_closes(explorer):
    tokens(explorer).nth(1).click()
    explorer.set(shown=2, result={"run": 2, "completions": [completion()]})
    assert not dialog(explorer).is_visible()


def test_the_tree(explorer):
    explorer.set(branches=[line(1), line(2, 1, **CHILD), line(3, 2, **CHILD), line(4, 1), line(5)])
    nesting = explorer.find(".nbllm-branch-tree li").evaluate_all(
        "items => items.map(i => { let n = 0; while ((i = i.parentElement.closest('li'))) n++; return n; })"
    )
    assert nesting == [0, 1, 2, 1, 0]
    explorer.set(branches=[line(1, reason="running"), line(2, 1, **CHILD)])
    assert explorer.find(".nbllm-branch").first.inner_text().split("\n")[2] == "running"
    row = explorer.find(".nbllm-branch").nth(1)
    text = " ".join(row.inner_text().split())
    assert text == "branch 2 “ called” 4.1 % at 2 little king length · 5 tokens · −2.50 A B"
    row.get_by_role("button", name="branch 2: show this branch").click()
    row.get_by_role("button", name="A: pin branch 2").focus()
    explorer.page.keyboard.press("Enter")
    assert explorer.sent() == [
        {"action": "show", "branch": 2}, {"action": "pin", "name": "A", "branch": 2},
    ]  # fmt: skip
    explorer.set(pins={"A": side(2, WORDS)})
    # the button that was pressed is there again
    assert explorer.page.evaluate("document.activeElement.ariaLabel") == "A: unpin branch 2"
    assert explorer.find(".nbllm-branch-tree [aria-pressed=true]").all_inner_texts() == [
        "branch 1",
        "A",
    ]


def test_what_can_be_done_with_a_branch(explorer):
    page = explorer.page
    name = page.get_by_role("textbox", name="name of the branch")
    assert name.input_value() == "branch 1"
    name.fill("mine")
    explorer.set(branches=[line(1), line(2, 1, **CHILD), line(3)])
    assert name.input_value() == "mine"
    name.press("Enter")
    page.get_by_role("button", name="continue").click()
    page.get_by_role("button", name="pin B", exact=True).click()
    remove = page.get_by_role("button", name="remove")
    remove.click()
    sent = explorer.sent()
    page.get_by_role("button", name="really remove?").click()
    assert sent + explorer.sent() == [
        {"action": "rename", "name": "mine"}, {"action": "branch", "of": 1, "position": 5},
        {"action": "pin", "name": "B"}, {"action": "remove"},
    ]  # fmt: skip
    explorer.set(shown=2)
    assert name.input_value() == "branch 2"


def test_two_branches_side_by_side(explorer):
    explorer.set(**PINNED)
    assert explorer.find("del").all_inner_texts() == [" named", "."]
    assert explorer.find("ins").all_inner_texts() == [" called", "!"]
    text = explorer.find(".nbllm-parting").inner_text()
    assert text == (
        "The same for 2 tokens, then A goes on with “ named” 60.7 %, B with “ called” 60.7 %."
    )
    facts = explorer.find(".nbllm-side").nth(1).locator(".nbllm-facts").inner_text()
    assert facts == (
        "5 tokens · log-probability −2.50, −0.50 per token · where they differ −1.50, −0.50 per token"
    )
    explorer.find(".nbllm-side ins .nbllm-token").first.hover()
    assert "“ called”" in explorer.find(".nbllm-compared [role=tooltip]").inner_text()
    explorer.page.get_by_role("button", name="unpin A").click()
    assert explorer.sent() == [{"action": "unpin", "name": "A"}]
    explorer.set(pins={"B": {**PINNED["pins"]["B"], "differs": None}})
    assert explorer.find(".nbllm-side .nbllm-inherited").count() == 0
    assert explorer.find("ins").count() == 0
    assert not explorer.find(".nbllm-parting").is_visible()


def test_sides_without_scores(explorer):
    bare = side(2, [], cumulative_logprob=None, after=None, whole="a text", tokens=[])
    explorer.set(pins={"A": bare, "B": PINNED["pins"]["B"]})
    assert explorer.find(".nbllm-side").first.inner_text().endswith("5 tokens\na text")


def test_when_the_kernel_has_ended_nothing_can_be_chosen(explorer):
    explorer.page.evaluate("document.querySelector('.nbllm-panel').classList.add('nbllm-ended')")
    tokens(explorer).nth(1).hover()
    assert explorer.find(".nbllm-branch-text [role=tooltip]").is_visible()
    tokens(explorer).nth(1).click()
    assert not dialog(explorer).is_visible()
    assert explorer.page.get_by_role("button").count() == 0
    # the tree keeps its names
    names = explorer.find(".nbllm-branch-name")
    assert [n.inner_text() for n in names.all() if n.is_visible()] == ["branch 1", "branch 2"]


def test_untrusted_text_is_inert(explorer):
    words = [HOSTILE, " b"]
    top = {**token(HOSTILE), "top": [[HOSTILE, -0.5], [HOSTILE, -1.0]]}
    whole = {**completion(words), "tokens": [top, token(" b")], "finish_reason": HOSTILE}
    bad = {"name": HOSTILE, "token": HOSTILE, "text": HOSTILE, "logprob": -1.0, "reason": HOSTILE}
    explorer.set(
        result={"run": 5, "completions": [whole]}, prompt=HOSTILE, facts=HOSTILE, error=HOSTILE,
        note=HOSTILE, branches=[line(1, **bad), line(2, 1, **bad)], forks=[[0, [2]]],
        pins={n: side(1, words, name=HOSTILE, differs=[[0, 2]]) for n in "AB"},
    )  # fmt: skip
    tokens(explorer).first.click()
    assert explorer.find("img, script, a, iframe").count() == 0
    assert explorer.page.evaluate("window.hacked") is None
    text = explorer.page.locator("body").inner_text()
    assert text.count("<img src=x onerror") >= 12
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


@pytest.mark.parametrize("width", ["900px", "344px"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_jupyterlab_it_is_readable_too(bare, shots, scheme, width):
    """Colours of the system, as elsewhere than in JupyterLab; on a phone, too."""
    if reason := axe.missing():
        pytest.skip(reason)
    bare.set_viewport_size({"width": 360 if width == "344px" else 1000, "height": 900})
    bare.emulate_media(color_scheme=scheme)
    bare.evaluate("scheme => { document.documentElement.style.colorScheme = scheme; }", scheme)
    surprising = [token(" little", -6.0), *map(token, WORDS[1:])]
    state = {
        **SHOWN, **PINNED, "shown": 2, "position": 2, "error": "no", "note": "a note",
        "result": {"run": 1, "completions": [{**completion(), "tokens": surprising}]},
        "branches": [line(1), line(2, 1, **CHILD), line(3, 2, **CHILD), line(4)],
    }  # fmt: skip
    view = mount(bare, esm("token_explorer"), SHEETS, state, width=width)
    tokens(view).nth(2).click()
    bare.screenshot(path=shots / f"token-explorer-bare-{scheme}-{width}.png", full_page=True)
    assert axe.violations(bare, ".nbllm-panel") == []
    assert bare.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bare.emulate_media(color_scheme=None)
    bare.set_viewport_size({"width": 1000, "height": 800})


def test_nothing_is_left(explorer):
    tokens(explorer).nth(1).click()
    assert explorer.done() == 0


def test_nothing_went_wrong(bare, errors):
    assert errors == []
