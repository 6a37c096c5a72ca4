"""Controls are the fields of SamplingParams, with their ranges."""

from dataclasses import replace

import pytest

from nbllm import SamplingParams
from nbllm.errors import ParamError
from nbllm.sampling_params import RANGES
from nbllm.widgets.controls import SamplingControls


@pytest.fixture
def changes():
    return []


@pytest.fixture
def controls(changes):
    made = SamplingControls(
        SamplingParams(logprobs=5, max_tokens=16), max_tokens=512, max_logprobs=20,
        changed=lambda: changes.append(1),
    )  # fmt: skip
    yield made
    for control in made.controls.values():
        control.widget.close()


def set_to(controls, name, value):
    controls.controls[name].widget.value = value


VALUES = {
    "temperature": (0.3, 0.3),
    "top_p": (0.5, 0.5),
    "top_k": (7, 7),
    "min_p": (0.1, 0.1),
    "max_tokens": (33, 33),
    "n": (3, 3),
    "seed": (" 12 ", 12),
    "logprobs": (2, 2),
    "presence_penalty": (-1.5, -1.5),
    "frequency_penalty": (2.0, 2.0),
    "repetition_penalty": (1.3, 1.3),
    "min_tokens": (4, 4),
    "stop": ("\\n\nThe \\\\n end", ["\n", "The \\n end"]),
    "bad_words": ("one\n\ntwo", ["one", "two"]),
    "ignore_eos": (True, True),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_control_is_a_field(controls, changes, name):
    shown, value = VALUES[name]
    set_to(controls, name, shown)
    assert getattr(controls.params, name) == pytest.approx(value)
    assert changes == [1]
    # and the other way
    controls.params = replace(SamplingParams(logprobs=5), **{name: value})
    assert getattr(controls.params, name) == pytest.approx(value)
    assert changes == [1]


def test_what_a_page_comes_to_in_steps_is_what_it_shows(controls):
    set_to(controls, "top_p", 0.9000000000000001)
    assert controls.params.top_p == 0.9


def test_every_control_is_there(controls):
    assert set(controls.controls) == set(VALUES)
    boxed = [*controls.main.children, *controls.more.children]
    assert boxed == [c.widget for c in controls.controls.values()]
    assert [w.description for w in boxed] == list(controls.controls)


@pytest.mark.parametrize("name", RANGES)
def test_ranges_are_those_of_sampling_params(controls, name):
    low, high = RANGES[name]
    widget = controls.controls[name].widget
    if high > 100:
        set_to(controls, name, 0)
        with pytest.raises(ParamError, match=name):
            _ = controls.params
        return
    assert (widget.min, widget.max) == (low or widget.min, high)
    for edge in (widget.min, widget.max):
        set_to(controls, name, edge)
        assert getattr(controls.params, name) == edge


def test_counts_have_the_limits_of_the_model(controls):
    assert controls.controls["max_tokens"].widget.max == 512
    assert controls.controls["logprobs"].widget.max == 20
    controls.params = SamplingParams(max_tokens=None, top_k=-1, logprobs=None)
    assert (controls.params.max_tokens, controls.params.top_k) == (512, 0)
    assert controls.params.logprobs == 5


def test_what_does_not_go_together_is_refused_as_everywhere(controls):
    set_to(controls, "n", 2)
    set_to(controls, "temperature", 0)
    with pytest.raises(ParamError, match="n must be 1 when temperature is 0"):
        _ = controls.params


def test_a_seed_that_is_no_number(controls):
    set_to(controls, "seed", "seven")
    with pytest.raises(ParamError, match="whole number, or empty, got 'seven'"):
        _ = controls.params
    set_to(controls, "seed", "")
    assert controls.params.seed is None


def test_the_given_parameters_stay_as_they_are(controls):
    given = SamplingParams(max_tokens=7, logprobs=1)
    controls.params = given
    set_to(controls, "max_tokens", 9)
    assert given.max_tokens == 7
