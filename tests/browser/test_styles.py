"""A page has the style sheets of every result on it: each result looks as it does alone."""

import pytest
from browser import lab as driver
from browser import results
from browser.conftest import missing

pytestmark = pytest.mark.browser

RESULTS = {
    "story": results.story(),
    "several": results.several(),
    "grid": results.grid(),
    "beam": results.beam(),
    "choices": results.choices(),
    "comparison": results.comparison(),
    "scores": results.scores(),
}
LOOKS = """() => [...document.querySelectorAll('div.nbllm')].map(result =>
    [result, ...result.querySelectorAll('*:not(style)')].map(node => {
        const style = getComputedStyle(node);
        return [node.tagName, node.className, ...WHAT.map(name => style[name])].join(' ');
    }))""".replace(
    "WHAT",
    "['color', 'opacity', 'whiteSpace', 'fontSize', 'fontWeight', 'backgroundColor', 'display', "
    "'maxWidth', 'minWidth', 'textAlign', 'padding', 'margin', 'overflowX', 'listStyle']",
)


@pytest.fixture(scope="module")
def page():
    """Of a browser without JupyterLab."""
    if (reason := missing()) and "labextension" not in reason:
        pytest.skip(reason)
    with driver.chromium() as browser:
        yield browser.new_page()


@pytest.fixture(scope="module")
def looks(page):
    """f(names) → what the browser makes of these results on one page."""

    def looks(*names):
        body = "".join(RESULTS[name]["text/html"] for name in names)
        page.set_content(f"<!doctype html><body>{body}</body>")
        return dict(zip(names, page.evaluate(LOOKS), strict=True))

    return looks


@pytest.mark.parametrize("order", [list(RESULTS), list(RESULTS)[::-1]], ids=["there", "back"])
def test_no_result_changes_another(looks, order):
    together = looks(*order)
    for name in order:
        assert together[name] == looks(name)[name], name


def test_entropy_without_a_script(page, looks):
    looks("story", "several")
    box, tokens = page.locator("input"), page.locator(".nbllm-tokens span")
    shades = "spans => spans.map(span => getComputedStyle(span).backgroundColor)"
    before = tokens.evaluate_all(shades)
    box.check()
    after = tokens.evaluate_all(shades)
    assert len({*before}) > 4
    assert len({*after}) > 4
    assert not {*before} & {*after} - {"rgba(0, 0, 0, 0)"}
    box.uncheck()
    assert tokens.evaluate_all(shades) == before
