"""What a PromptGrid draws, with no kernel: the fake model says what Python would."""

import pytest
from browser import axe, results
from browser.esm import mount

from nbllm.widgets.modules import css, esm

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE_LINK
COLUMNS = [
    {"name": "greedy", "settings": "temperature=0.0", "mean": None, "rated": 0},
    {"name": "wild", "settings": "temperature=1.3", "mean": 4.25, "rated": 4},
]
ORDER = {"by": "row", "column": None, "descending": False, "text": "", "show": "all"}
STORY = (
    " there lived a fox in a land of ice and snow. Everyone said that Carla was the busiest fox "
    "in the land. One windy day, Carla decided to cross the mountains."
)
OUTCOME = {
    "text": "greedy: 7 wins, wild: 3 wins, 2 tied.", "wins": [["greedy", 7], ["wild", 3]], "ties": 2,
    "share": 0.7, "low": 0.4, "high": 0.89,
}  # fmt: skip
DUEL = {
    "row": 3, "prompt": "Once", "left": "the left text", "right": "the right text", "judged": 2,
    "of": 9, "same": 1, "waiting": 4, "outcome": None,
}  # fmt: skip


def grid(count, **more):
    return {
        "running": False, "progress": {"done": 0, "failed": 0, "total": count * 2},
        "prompts": [f"Once upon a time, number {i}" for i in range(count)], "columns": COLUMNS,
        "rows": list(range(count)), "order": ORDER, "fixed": False, "file": "grid.jsonl", "duel": {},
        **more,
    }  # fmt: skip


def cell(row, column, text="some text", **more):
    return {
        "row": row, "column": column, "state": "done", "text": text, "reason": "stop", "tokens": 12,
        "logprob": -0.53, "rating": None, "note": "", "error": "", **more,
    }  # fmt: skip


def show(page, state, width="900px"):
    return mount(
        page, esm("prompt_grid"), css("frame", "tokens", "prompt_grid"), state, width=width
    )


def tell(view, *cells):
    view.message({"kind": "cells", "cells": list(cells)})


def drawn(view):
    """Some frames later, and after what is said when the scrolling pauses."""
    view.page.evaluate(
        """() => new Promise(done => requestAnimationFrame(() =>
            requestAnimationFrame(() => setTimeout(done, 150))))"""
    )


def said(view, action):
    """The messages of this action since the last look."""
    return [m for m in view.sent() if m["action"] == action]


@pytest.fixture
def ten(bare):
    """A grid of ten rows, two columns."""
    view = show(bare, grid(10))
    drawn(view)
    view.sent()
    return view


def focus(view):
    view.find(".nbllm-grid").focus()


def press(view, *keys):
    for key in keys:
        view.page.keyboard.press(key)


def selected(view):
    at = view.find('[aria-selected="true"]')
    return int(at.get_attribute("data-row")), int(at.get_attribute("data-column"))


def test_a_page_that_opens_asks_for_everything(bare):
    view = show(bare, grid(10))
    drawn(view)
    assert [m["action"] for m in view.sent()][:2] == ["draw", "look"]


def test_only_rows_in_sight_are_drawn(bare):
    view = show(bare, grid(5000))
    drawn(view)
    rows = view.find(".nbllm-grid-row")
    assert 5 < rows.count() < 25
    grid_node = view.find(".nbllm-grid")
    assert grid_node.get_attribute("aria-rowcount") == "5001"
    view.sent()
    grid_node.evaluate("node => { node.scrollTop = 250000; }")
    drawn(view)
    places = [int(r.get_attribute("aria-rowindex")) for r in rows.all()]
    assert min(places) - 2 <= 2500 < max(places) - 2
    assert len(places) < 25
    [look] = said(view, "look")
    assert 2500 in look["rows"]


def test_thousands_of_cells_do_not_freeze_the_page(bare):
    count = 5000
    view = show(bare, grid(count))
    texts = [cell(i, j, STORY * 3) for i in range(count) for j in range(2)]
    frames = view.page.evaluate(
        """async cells => {
            const frames = [];
            let last = performance.now(), going = true;
            const tick = now => {
                frames.push(now - last);
                last = now;
                if (going) requestAnimationFrame(tick);
            };
            requestAnimationFrame(tick);
            for (let i = 0; i < cells.length; i += 200) {
                window.view.message({ kind: 'cells', cells: cells.slice(i, i + 200) });
                await new Promise(done => setTimeout(done));
            }
            const grid = document.querySelector('.nbllm-grid');
            for (let top = 0; top < 500000; top += 9973) {
                grid.scrollTop = top;
                await new Promise(requestAnimationFrame);
            }
            going = false;
            return frames;
        }""",
        texts,
    )
    # nearly all of them, on a machine that does other things as well
    assert sorted(frames)[len(frames) * 9 // 10] < 500
    assert view.find("*").count() < 700


def test_cells_come_and_grow(ten):
    tell(ten, cell(0, 1, " there", state="running", reason=None, tokens=1))
    node = ten.find(".nbllm-grid-row").nth(0).locator(".nbllm-grid-cell").nth(1)
    same = node.element_handle()
    assert node.get_attribute("data-state") == "running"
    tell(ten, cell(0, 1, " there lived", rating=4, note="fine"))
    assert same.evaluate("node => node.isConnected")
    assert node.locator(".nbllm-text").text_content() == " there lived"
    assert "stop · 12 tokens · −0.53 per token" in node.inner_text()
    assert "★★★★☆ ✎" in node.inner_text()
    assert node.get_by_role("img", name="rated 4 of 5, with a note").count() == 1


def test_cells_that_come_while_they_are_out_of_sight(bare):
    view = show(bare, grid(500))
    drawn(view)
    tell(view, cell(400, 0, "far away"))
    view.find(".nbllm-grid").evaluate("node => { node.scrollTop = 39800; }")
    drawn(view)
    assert view.find(".nbllm-grid").get_by_text("far away").is_visible()


def test_arrows_move(ten):
    focus(ten)
    press(ten, "ArrowDown", "ArrowRight", "ArrowRight", "ArrowDown")
    assert selected(ten) == (2, 1)
    press(ten, "Home", "End", "ArrowUp")
    assert selected(ten) == (1, 1)
    press(ten, "Control+End")
    assert selected(ten) == (9, 1)
    at = ten.find(".nbllm-grid").get_attribute("aria-activedescendant")
    assert ten.page.locator(f"[id='{at}']").is_visible()
    press(ten, "PageUp", "PageUp", "PageUp", "Control+Home")
    assert selected(ten) == (0, 0)
    assert ten.find(".nbllm-detail h4").inner_text() == "row 0 · greedy"


def test_digits_rate_the_selected_cell(ten):
    focus(ten)
    press(ten, "ArrowDown", "4", "ArrowRight", "1", "0", "6", "x")
    assert said(ten, "rate") == [
        {"action": "rate", "row": 1, "column": 0, "rating": 4},
        {"action": "rate", "row": 1, "column": 1, "rating": 1},
        {"action": "rate", "row": 1, "column": 1, "rating": 0},
    ]


def test_rating_by_mouse(ten):
    ten.find(".nbllm-grid-cell").nth(3).click()
    assert selected(ten) == (1, 1)
    ten.page.get_by_role("button", name="3 of 5").click()
    tell(ten, cell(1, 1, rating=3))
    three = ten.page.get_by_role("button", name="3 of 5")
    assert three.get_attribute("aria-pressed") == "true"
    three.click()
    assert [m["rating"] for m in said(ten, "rate")] == [3, 0]


def test_notes(ten):
    focus(ten)
    press(ten, "ArrowDown", "n")
    ten.page.keyboard.type("too long 5")
    # what comes meanwhile leaves it alone
    tell(ten, cell(1, 0, "some text"))
    press(ten, "Enter")
    assert said(ten, "annotate") == [
        {"action": "annotate", "row": 1, "column": 0, "note": "too long 5"}
    ]
    assert ten.find(".nbllm-grid").evaluate("n => n === document.activeElement")
    tell(ten, cell(1, 0, note="too long 5"))
    press(ten, "n")
    ten.page.keyboard.type("!")
    press(ten, "Escape")
    assert ten.find("textarea").first.input_value() == "too long 5"
    press(ten, "n")
    ten.page.keyboard.type("?")
    ten.find(".nbllm-grid-cell").nth(0).click()
    assert said(ten, "annotate") == [
        {"action": "annotate", "row": 1, "column": 0, "note": "too long 5?"}
    ]


def test_rows_in_another_order(ten):
    focus(ten)
    press(ten, "ArrowDown")
    ten.set(rows=[7, 1, 4])
    drawn(ten)
    shown = [
        r.locator(".nbllm-grid-prompt .nbllm-facts").inner_text()
        for r in ten.find(".nbllm-grid-row").all()
    ]
    assert sorted(shown) == ["1", "4", "7"]
    # the selected cell is the same, where it is still there
    assert selected(ten) == (1, 0)
    press(ten, "ArrowUp")
    assert selected(ten) == (7, 0)
    ten.set(rows=[2, 3])
    drawn(ten)
    assert selected(ten) == (2, 0)
    assert "2 of 10 rows" in ten.find(".nbllm-bar").nth(1).inner_text()


def test_sorting_and_filtering_are_wishes(ten):
    ten.page.get_by_label("sort by").select_option("rating")
    ten.page.get_by_label("of which column").select_option("wild")
    ten.page.get_by_role("button", name="↓ the greatest first").click()
    ten.page.get_by_label("show", exact=True).select_option("unrated")
    assert said(ten, "sort")[-2] == {
        "action": "sort",
        **ORDER,
        "by": "rating",
        "column": 1,
        "descending": True,
    }
    ten.set(order={**ORDER, "by": "rating", "column": 1, "descending": True})
    ten.page.get_by_label("show rows containing").fill("fox")
    ten.page.wait_for_function("window.view.sent.some(message => message.action === 'sort')")
    [wish] = said(ten, "sort")
    assert (wish["text"], wish["by"], wish["column"], wish["descending"]) == (
        "fox",
        "rating",
        1,
        True,
    )


def test_run_stop_and_progress(ten):
    run, stop = (ten.page.get_by_role("button", name=name) for name in ("Run", "Stop"))
    assert stop.is_disabled()
    run.click()
    ten.set(running=True, progress={"done": 3, "failed": 1, "total": 20})
    assert run.is_disabled()
    assert "3 of 20 cells done · 1 failed" in ten.find(".nbllm-bar").first.inner_text()
    stop.click()
    assert [m["action"] for m in ten.sent()] == ["run", "stop"]


def test_blind(ten):
    ten.page.get_by_role("button", name="judge blind").click()
    assert said(ten, "blind") == [{"action": "blind", "a": 0, "b": 1}]
    ten.set(duel=DUEL)
    blind = ten.find(".nbllm-blind")
    assert not ten.find(".nbllm-grid").is_visible()
    assert blind.evaluate("n => n === document.activeElement")
    for name in ("greedy", "wild"):
        assert name not in blind.inner_text()
    assert (
        "2 of 9 rows judged · 1 left out: both texts are the same · 4 not made yet"
        in blind.inner_text()
    )
    press(ten, "ArrowLeft", "ArrowRight", "ArrowDown", "t", "u")
    choice = {"action": "choose", "row": 3}
    assert ten.sent() == [
        *({**choice, "choice": c} for c in ("left", "right", "tie", "tie")), {"action": "undo"},
    ]  # fmt: skip
    ten.page.get_by_role("button", name="reveal").click()
    ten.set(duel={**DUEL, "outcome": OUTCOME})
    assert "greedy 7" in blind.inner_text()
    ten.set(duel={**DUEL, "row": None, "judged": 9})
    assert ten.page.get_by_role("button", name="← left is better").is_disabled()
    ten.page.get_by_role("button", name="back to the grid").click()
    ten.set(duel={})
    assert ten.find(".nbllm-grid").evaluate("n => n === document.activeElement")


def test_files_and_frames(ten):
    name = ten.page.get_by_label("file for ratings")
    assert name.input_value() == "grid.jsonl"
    name.fill("mine.jsonl")
    name.press("Enter")
    ten.page.get_by_role("button", name="load what").click()
    ten.page.get_by_role("button", name="to DataFrame").click()
    assert ten.sent() == [
        {"action": "save", "path": "mine.jsonl"}, {"action": "restore", "path": "mine.jsonl"},
        {"action": "frame", "name": "cells"},
    ]  # fmt: skip


def test_an_empty_grid_is_filled_by_hand(bare):
    view = show(bare, grid(0, columns=[]))
    assert not view.find(".nbllm-grid").is_visible()
    view.page.get_by_label("prompt of a new row").fill("The fox")
    view.page.get_by_role("button", name="add row").click()
    view.page.get_by_label("setting of a new column").fill("wild: temperature=1.3")
    view.page.get_by_role("button", name="add column").click()
    assert [m for m in view.sent() if "add" in m["action"]] == [
        {"action": "add", "prompt": "The fox"},
        {"action": "add_setting", "setting": "wild: temperature=1.3"},
    ]
    view.set(prompts=["The fox"], columns=COLUMNS[:1], rows=[0])
    drawn(view)
    assert "The fox" in view.find(".nbllm-grid").inner_text()


def test_untrusted_text_is_inert(bare):
    columns = [{"name": HOSTILE, "settings": HOSTILE, "mean": None, "rated": 0}] * 2
    view = show(bare, grid(1, prompts=[HOSTILE], columns=columns, note=HOSTILE))
    drawn(view)
    tell(view, cell(0, 0, HOSTILE, note=HOSTILE), cell(0, 1, error=HOSTILE, state="error"))
    assert view.find("img, script, a").count() == 0
    assert "\u241b[31m \\u202eevil\\x9b" in view.find(".nbllm-grid").inner_text()
    outcome = {**OUTCOME, "text": HOSTILE, "wins": [[HOSTILE, 1], [HOSTILE, 0]]}
    view.set(
        duel={**DUEL, "left": HOSTILE, "right": HOSTILE, "prompt": HOSTILE, "outcome": outcome}
    )
    assert view.find("img, script, a").count() == 0
    assert view.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["900px", "344px"])
def test_readable_and_accessible(bare, shots, scheme, width):
    if reason := axe.missing():
        pytest.skip(reason)
    bare.emulate_media(color_scheme=scheme)
    bare.evaluate("scheme => { document.documentElement.style.colorScheme = scheme; }", scheme)
    view = show(
        bare, grid(40, running=True, progress={"done": 31, "failed": 1, "total": 80}), width
    )
    drawn(view)
    tell(view, *(cell(i, 0, STORY, rating=i % 6 or None, note="why?" * (i % 2)) for i in range(30)))
    tell(
        view,
        cell(0, 1, STORY[:40], state="running"),
        cell(1, 1, state="error", error="the prompt is empty"),
    )
    focus(view)
    press(view, "ArrowDown")
    name = f"prompt-grid-bare-{scheme}{'-narrow' * (width == '344px')}"
    bare.screenshot(path=shots / f"{name}.png", full_page=True)
    assert bare.evaluate(
        "document.querySelector('#root').scrollWidth <= document.querySelector('#root').clientWidth + 1"
    )
    assert axe.violations(bare, ".nbllm-panel") == []
    view.set(duel={**DUEL, "left": STORY, "right": STORY[:90], "outcome": OUTCOME})
    bare.screenshot(path=shots / f"{name}-blind.png", full_page=True)
    assert axe.violations(bare, ".nbllm-panel") == []
    bare.emulate_media(color_scheme=None)


def test_it_goes_without_a_trace(ten):
    assert ten.done() == 0
    assert ten.page.locator("#root *").count() == 0


def test_nothing_went_wrong(bare, errors):
    assert errors == []
