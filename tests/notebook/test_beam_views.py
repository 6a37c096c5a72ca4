"""What a beam search looks like: safe, bounded, readable without a style sheet."""

import json
import math
import re

import pytest
from beam_outputs import Words, searched
from html_page import HOSTILE, Page

from nbllm import views
from nbllm.sampling_params import BeamSearchParams
from nbllm.views import beam_data, beam_html, beam_tree
from nbllm.views.beam_tree import Nodes, tree

CITIES = Words("The city is", " Paris", ".", " Lyon", " a town", "!")
# ids:                    1         2    3        4          5    6
NEXT = {
    (): {2: 0.5, 4: 0.3, 5: 0.2},
    (2,): {3: 0.9, 6: 0.1},
    (4,): {3: 0.6, 0: 0.4},
    (2, 3): {0: 0.8, 6: 0.2},
    (4, 3): {0: 0.5, 6: 0.5},
    (2, 6): {3: 1.0},
}


def found(width=2, steps=3, words=CITIES, choices=None, prompt="The city is", changes=None, **more):
    params = BeamSearchParams(beam_width=width, max_tokens=steps, **(changes or {}))
    follow = choices or (lambda ids: NEXT.get(ids, {0: 1.0}))
    return searched(words, follow, params, prompt=prompt, **more)


def shown(*outputs):
    return views.bundle(views.beams(outputs))


def only(output):
    """(search, its nodes) of the data."""
    [search] = views.beams([output])["searches"]
    return search, Nodes(search)


def test_the_data():
    result = views.beams([found()])
    assert (result["version"], result["kind"]) == (1, "beam")
    [search] = result["searches"]
    assert (search["beam_width"], search["num_steps"], search["finished"]) == (2, 3, True)
    best, second = search["sequences"]
    assert best["text"] == " Paris."
    assert best["cumulative_logprob"] == round(math.log(0.5 * 0.9 * 0.8), 4)
    assert best["score"] == round(math.log(0.5 * 0.9 * 0.8) / 3, 4)
    assert (best["rank"], best["num_tokens"], best["finish_reason"]) == (1, 3, "stop")
    assert (best["diverges_at"], second["diverges_at"]) == (None, 2)
    nodes, path = search["nodes"], best["nodes"]
    assert [nodes["text"][n] for n in path] == [" Paris", ".", "<end>"]
    assert [nodes["parent"][n] for n in path] == [-1, *path[:2]]
    assert [nodes["state"][n] for n in path] == ["live", "live", "returned"]
    assert [nodes["logprob"][n] for n in path] == [round(math.log(p), 4) for p in (0.5, 0.9, 0.8)]
    assert path[2] in nodes["special"]
    assert search["num_candidates"] == len(nodes["parent"]) == 3 + 4 + 4
    assert search["omitted_nodes"] == 0
    assert "omitted" not in result
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_nodes_are_the_rows_of_the_trace(width):
    output = found(width)
    _, nodes = only(output)
    trace = output.trace_frame()
    mine = sorted(zip(nodes.step, nodes.rank, nodes.text, nodes.state, strict=True))
    theirs = sorted(zip(trace.step, trace["rank"], trace.token, trace.state, strict=True))
    # only the likeliest of what was pruned is kept
    assert [row for row in theirs if row[3] != "pruned"] == [
        row for row in mine if row[3] != "pruned"
    ]
    assert {*mine} <= {*theirs}


def test_plain_text():
    table = [
        "> The city is",
        "  #    score  log-prob  tokens  ended   text",
        "  1   −0.341    −1.022       3  stop     Paris.",
        "  2   −0.803    −2.408       3  length   Paris.!",
    ]
    search = [
        "",
        "the search: 2 beams, 3 steps, 11 candidates",
        "The city is",
        "│      ○ “ Lyon.!” (30 %) instead of “ Paris” (50 %): outscored",
        "└─  50 %  Paris.",
        "   ├─  80 % <end>  #1",
        "   └─  20 % !  #2",
    ]
    assert shown(found())["text/plain"].splitlines() == table + search
    two = shown(found(), found())["text/plain"].splitlines()
    assert two == table * 2


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_the_tree_has_a_leaf_for_every_sequence(width):
    search, nodes = only(found(width, steps=6))
    root, missing = tree(search, nodes)
    assert missing == 0
    leaves, stack = {}, [(root, [])]
    while stack:
        branch, path = stack.pop()
        path = [*path, *branch.nodes]
        stack += [(child, path) for child in branch.children]
        assert (branch.rank is not None) == (not branch.children)
        # one child would go on in the same line
        assert len(branch.children) != 1 or branch is root
        if branch.rank:
            leaves[branch.rank] = path
    assert leaves == {s["rank"]: s["nodes"] for s in search["sequences"]}


def test_what_left_is_noted_where_it_left():
    # aaaa is returned; b is dropped at once, abb lives to the last step
    table = {
        (): {1: 0.6, 2: 0.4},
        (2,): {1: 0.4, 2: 0.3, 3: 0.3},
        (1,): {1: 0.7, 2: 0.3},
        (1, 2): {2: 1.0},
    }
    letters = Words("a", "b", "c")
    output = found(
        2, 4, letters, lambda ids: table.get(ids, {1: 0.9, 2: 0.1}), "x",
        changes={"num_return_sequences": 1, "ignore_eos": True},
    )  # fmt: skip
    search, nodes = only(output)
    root, _ = tree(search, nodes)
    [branch] = root.children
    assert nodes.words(branch.nodes) == "aaaa"
    [dropped] = root.leavers
    assert nodes.words(dropped.nodes) == "b"
    assert not dropped.ended
    assert dropped.instead_of == branch.nodes[0]
    [late] = branch.leavers
    assert late.ended
    text = shown(output)["text/plain"]
    assert "✂ “b” (40 %) instead of “a” (60 %): dropped after step 1\n" in text
    assert "○ “bba” (30 %) instead of “a” (70 %): outscored" in text


def test_a_character_split_over_tokens_is_one_text():
    a, b, c, d = ("🦊".encode()[i : i + 1] for i in range(4))
    fox = Words("I see a", " ", a, b, c, d, "!", b"\xff")
    # ids:           1     2   3  4  5  6   7      8
    path = [2, 3, 4, 5, 6, 7]

    def choices(ids):
        go_on = path[len(ids)] if list(ids) == path[: len(ids)] and len(ids) < 6 else 0
        return {go_on: 0.8, 8: 0.2}

    output = found(2, 6, fox, choices, "I see a")
    search, nodes = only(output)
    best = search["sequences"][0]["nodes"]
    assert [nodes.text[n] for n in best] == [" ", "", "", "", "🦊", "!"]
    assert search["sequences"][0]["text"] == " 🦊!"
    page = Page(shown(output)["text/html"])
    row = page.text.split("#1")[1].split("−")[0]
    assert row.strip() == "🦊!"
    # what never becomes a character is shown as such
    assert "\ufffd" in shown(output)["text/plain"]
    # pointing at it tells what each of its tokens had of a chance
    title = next(v for k, v in page.attributes if k == "title" and "step 5" in v)
    assert [line.split("step ")[1][0] for line in title.splitlines() if "step" in line] == list(
        "2345"
    )


def test_the_text_of_a_stop_string_is_not_in_the_table():
    output = found(1, 2, changes={"stop": "s."})
    output.history.completed[1, 0, 0] = True  # “ Paris.” ends with it
    search, _ = only(output)
    assert search["sequences"][0]["text"] == " Pari"
    assert search["sequences"][0]["hidden"] == 2
    page = Page(shown(output)["text/html"])
    row = page.text.split("#1")[1].split("−")[0]
    assert row.strip() == "Pari"


def test_shared_words_are_dimmed_and_the_turn_is_marked():
    html = shown(found())["text/html"]
    one, two = re.findall(r'<td><pre dir="auto">\n(.*?)</pre></td>', html, re.S)
    assert "nbllm-same" not in one
    assert "<b" not in one
    same, rest = two.split("</span></span>")
    assert re.sub("<[^>]*>", "", same) == " Paris."
    assert same.startswith('<span class="nbllm-same">')
    assert re.sub("<[^>]*>", "", rest) == "!"
    assert rest.startswith("<b title=")


def test_pointing_shows_probabilities():
    page = Page(shown(found())["text/html"])
    title = next(v for k, v in page.attributes if k == "title")
    assert title.splitlines() == [
        " 50.0 %  step 1, rank 1",
        "",
        " 50.0 %  “ Paris”  live",
        " 30.0 %  “ Lyon”  live",
        " 20.0 %  “ a town”  pruned",
    ]


def test_untrusted_text_is_shown_not_obeyed():
    words = Words(HOSTILE, HOSTILE, '"onmouseover="x', "</pre></span>", "a\nb", "שלום")

    def choices(ids):
        return {2 + (len(ids) + k) % 5: p for k, p in enumerate((0.4, 0.3, 0.2, 0.1))}

    output = found(3, 5, words, choices, HOSTILE)
    bundle = shown(output)
    page = Page(bundle["text/html"])
    assert {*page.tags} <= {
        *("div", "style", "pre", "span", "b", "i", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "ul", "li", "code"),
    }
    assert {name for name, _ in page.attributes} == {"class", "dir", "title", "open"}
    assert "<script>alert(1)</script>&amp;" in page.text
    for text in (page.text, bundle["text/plain"], *(v for _, v in page.attributes if v)):
        assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in text)
        assert "\u202e" not in text
    assert "שלום" in page.text
    assert ("dir", "auto") in page.attributes
    # a tree is lines: what a model says begins none
    lines = bundle["text/plain"].splitlines()
    assert not any(line.startswith("b") for line in lines)
    # the data is exact
    texts = bundle[views.MIME]["searches"][0]["nodes"]["text"]
    assert {HOSTILE, '"onmouseover="x', "a\nb"} <= {*texts}


def test_it_reads_without_a_style_sheet():
    html = re.sub("<style>.*</style>", "", shown(found())["text/html"], flags=re.S)
    assert "style" not in re.sub('title="[^"]*"', "", html)
    # bold where sequences part, lists for the tree
    assert "<b title=" in html
    assert html.count("<ul>") == 3
    assert "The city is" in Page(html).text


def test_every_rule_is_scoped_and_the_bytes_are_the_same():
    html = shown(found())["text/html"]
    assert html == shown(found())["text/html"]
    css = html.split("<style>")[1].split("</style>")[0]
    selectors = [s for rule in css.split("}") if (s := rule.partition("{")[0].strip())]
    assert all(one.startswith("div.nbllm") for s in selectors for one in s.split(","))
    # no colour of its own: only translucent ones
    assert not re.search(r"#[0-9a-f]{3}|rgb\(|black|white;", css)


def wide(ids):
    """A hundred letters, each a little likelier than the next, another one at each place."""
    turned = sum(ids) % 100
    return {1 + (k + turned) % 100: (100 - k) / 5050 for k in range(100)}


LETTERS = Words(*(f"{chr(97 + i % 26)}{i} " for i in range(100)))


def test_large_searches_are_cut_and_say_so():
    output = found(60, 80, LETTERS, wide, changes={"ignore_eos": True})
    result = views.beams([output, output])
    assert len(result["searches"][0]["nodes"]["parent"]) == beam_data.MAX_NODES
    assert result["searches"][0]["omitted_nodes"] > 1000
    assert sum(len(s["sequences"]) for s in result["searches"]) == beam_data.MAX_SEQUENCES
    assert result["omitted"] == 20
    bundle = views.bundle(result)
    assert "… and 20 more sequences" in bundle["text/plain"]
    assert "… and 20 more sequences" in bundle["text/html"]
    assert len(json.dumps(result)) < 300_000
    assert len(bundle["text/html"]) < 3_000_000
    alone = shown(output)
    notes = alone["text/plain"].splitlines()[-1]
    assert re.fullmatch(
        r"\(\d+ sequences not drawn; [\d,]+ beam tokens not kept .*: the frames .*\)", notes
    )
    assert alone["text/html"].count('class="nbllm-run') <= beam_tree.MAX_BRANCHES + 1
    assert alone["text/html"].count(" title=") <= beam_html.MAX_TITLES


def test_a_long_branch_is_shown_without_its_middle():
    output = found(1, 300, LETTERS, wide, changes={"ignore_eos": True})
    html = shown(output)["text/html"]
    assert "→ 260 tokens →" in html
    assert html.count(" title=") == 300 + 40
    # in text the whole search fits on a screen
    assert max(map(len, shown(output)["text/plain"].splitlines())) < 400


@pytest.mark.parametrize("num_steps", [0, 1, 2])
def test_an_interrupted_search(num_steps):
    bundle = shown(found(num_steps=num_steps))
    assert f"{num_steps} step{'' if num_steps == 1 else 's'}" in bundle["text/plain"]
    assert bundle["text/plain"].splitlines()[2].split()[4] == "abort"
    assert "interrupted" in bundle["text/html"]
    assert "not drawn" not in bundle["text/plain"]
    assert Page(bundle["text/html"]).text.count("#1") == 2


def test_a_saved_notebook_has_no_script_of_ours():
    nbformat = pytest.importorskip("nbformat")
    exporter = pytest.importorskip("nbconvert").HTMLExporter(template_name="basic")
    words = Words("p", *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"))
    output = found(2, 3, words, lambda ids: {2: 0.6, 3: 0.4}, "<script>alert(0)</script>")
    cell = nbformat.v4.new_code_cell(
        "%%beam", outputs=[nbformat.v4.new_output("display_data", shown(output))]
    )
    html, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    ours = html[html.index('<div class="nbllm') :]
    assert "&lt;script&gt;alert(1)" in ours
    assert "<script" not in ours
    assert "<img" not in ours
