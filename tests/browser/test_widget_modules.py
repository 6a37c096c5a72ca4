"""The drawing of widgets, with no kernel and no JupyterLab."""

import pytest
from browser import results
from browser.esm import mount

from nbllm.widgets.modules import css, esm

pytestmark = pytest.mark.browser

HOSTILE = results.HOSTILE + "<a href='javascript:window.hacked=1'>x</a>"
# the smallest view
SAMPLE = (
    esm("frame")
    + """
function render({ model, el }) {
  const view = frame(model, el);
  view.body.append(element("p", "", "drawn"));
  window.act = view.act;
  return view.done;
}
export default { render };
"""
)
# what JupyterLab offers a widget: the notebook, and the kernel's state
MANAGER = """() => {
    const signal = () => {
        const calls = new Set();
        return { connect: c => calls.add(c), disconnect: c => calls.delete(c), size: () => calls.size,
                 emit: () => [...calls].forEach(c => c()) };
    };
    const output = id => ({ output_type: 'display_data', metadata: {}, data: {
        'text/plain': 'live', 'application/vnd.jupyter.widget-view+json': { model_id: id } } });
    const kernel = { status: 'idle' };
    window.manager = { context: {
        model: { dirty: false, toJSON: () => ({ cells: [
            { cell_type: 'markdown', source: '' },
            { cell_type: 'code', outputs: [output('panel'), output('other')] },
        ] }) },
        sessionContext: { session: { kernel }, statusChanged: signal(), kernelChanged: signal() },
    } };
}"""


@pytest.fixture
def frame(bare):
    """A view of nothing, in a notebook."""
    bare.evaluate(MANAGER)
    yield mount(bare, SAMPLE, css("frame"), {})
    bare.evaluate("delete window.manager")


def test_error_and_note(frame):
    error, note = frame.find("[role=alert]"), frame.find("[role=status]")
    assert not error.is_visible()
    frame.set(error=HOSTILE, note="loaded")
    assert error.inner_text().startswith("<img src=x onerror")
    assert note.inner_text() == "loaded"
    assert frame.page.evaluate("window.hacked") is None
    frame.set(error="")
    assert not error.is_visible()


def test_actions_are_messages(frame):
    frame.page.evaluate("window.act('restore', {run: 3})")
    frame.find(".nbllm-close").click()
    assert frame.sent() == [{"action": "restore", "run": 3}, {"action": "close"}]


def test_what_was_drawn_goes_without_a_trace(frame):
    frame.set(stand_in={"data": {"text/plain": "x"}, "metadata": {}})
    assert frame.done() == 0
    assert frame.page.locator("#root *").count() == 0
    session = "window.manager.context.sessionContext"
    assert (
        frame.page.evaluate(f"{session}.statusChanged.size() + {session}.kernelChanged.size()") == 0
    )


def saved(frame):
    return frame.page.evaluate("window.manager.context.model.toJSON().cells[1].outputs")


def test_a_saved_notebook_has_the_stand_in(frame):
    assert [o["data"]["text/plain"] for o in saved(frame)] == ["live", "live"]
    for text in ("first", "second"):
        frame.set(stand_in={"data": {"text/plain": text}, "metadata": {"nbllm": 1}})
    mine, other = saved(frame)
    assert mine == {
        "output_type": "display_data", "data": {"text/plain": "second"}, "metadata": {"nbllm": 1},
    }  # fmt: skip
    assert other["data"]["text/plain"] == "live"
    # there is something to save
    assert frame.page.evaluate("window.manager.context.model.dirty") is True


@pytest.mark.parametrize("how", ["restarting", "dead", "another", "none"])
def test_the_end_of_the_kernel_is_noticed(frame, how):
    session = "window.manager.context.sessionContext"
    frame.page.evaluate(f"{session}.session.kernel.status = 'busy'; {session}.statusChanged.emit()")
    assert not frame.find(".nbllm-note").is_visible()
    if how in ("another", "none"):
        other = "{status: 'idle'}" if how == "another" else "null"
        frame.page.evaluate(f"{session}.session.kernel = {other}; {session}.kernelChanged.emit()")
    else:
        frame.page.evaluate(
            f"{session}.session.kernel.status = '{how}'; {session}.statusChanged.emit()"
        )
    assert "kernel has ended" in frame.find(".nbllm-note").inner_text()
    assert not frame.find(".nbllm-close").is_visible()
    assert frame.find("p").inner_text() == "drawn"


def test_elsewhere_there_is_no_notebook(bare):
    """VS Code and Colab: nothing is tied, nothing fails."""
    view = mount(bare, SAMPLE, css("frame"), {"stand_in": {"data": {"text/plain": "x"}}})
    assert view.find("p").inner_text() == "drawn"
    assert view.done() == 0


def test_sliders_get_their_names(frame):
    frame.page.evaluate(
        """() => {
            const slider = document.createElement('div');
            slider.className = 'widget-slider';
            slider.innerHTML = '<label class="widget-label">top_p</label><div role="slider"></div>'
                + '<div class="widget-readout" contenteditable="true">0.9</div>';
            document.querySelector('.nbllm-panel').append(slider);
        }"""
    )
    slider = frame.page.get_by_role("slider", name="top_p")
    slider.wait_for(state="attached")
    assert frame.page.get_by_role("textbox", name="top_p").inner_text() == "0.9"


def test_shortcuts_of_the_notebook_leave_the_keys(frame):
    frame.page.wait_for_selector('.nbllm-panel[data-lm-suppress-shortcuts="true"]')
    # also those that are for whatever has the focus
    close = frame.find(".nbllm-close")
    close.focus()
    assert close.get_attribute("data-lm-suppress-shortcuts") == "true"


def test_nothing_is_said_to_a_kernel_that_has_ended(frame):
    session = "window.manager.context.sessionContext"
    frame.page.evaluate(f"{session}.session.kernel.status = 'dead'; {session}.statusChanged.emit()")
    frame.page.evaluate("window.act('restore', {run: 3})")
    assert frame.sent() == []


def test_nothing_went_wrong(frame, errors):
    assert errors == []
