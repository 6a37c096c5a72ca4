"""Mistakes: one line, the cell fails, nothing is lost."""

import pytest


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "%generate --temprature 1 hi",
            "unknown option --temprature; did you mean '--temperature'?",
        ),
        ("%generate --zzzzzz hi", "unknown option --zzzzzz; words that begin with - go after --"),
        ("%generate --temp 1 hi", "unknown option --temp"),
        ("%generate --max-tokens many hi", "argument -m/--max-tokens: invalid int value: 'many'"),
        (
            "%generate --max-tokens {{ 'many' }} hi",
            "argument --max-tokens: invalid int value: 'many'",
        ),
        ("%generate --temperature 7 hi", "ParamError: temperature must lie in [0, 2], got 7.0"),
        ("%generate --n 2 --temperature 0 hi", "ParamError: n must be 1 when temperature is 0"),
        ("%generate don't", "No closing quotation"),
        ("%generate", "the prompt is empty"),
        ("%%generate\n\n", "the prompt is empty"),
        ("%%generate\n{{ '' }}", "PromptError: a prompt is empty"),
        ("%%generate two names\nhi", "one name at most before a cell's prompt, got 'two names'"),
        ("%%generate a --out b\nhi", "one variable for the result, got b and a"),
        ("%%generate my-frame\nhi", "'my-frame' is not a variable name"),
        ("%%generate class\nhi", "'class' is not a variable name"),
        ("%%generate\n{{ citi }}", "'citi' is undefined; did you mean 'city'? (--raw"),
        ("%%generate\n{{ city", "unexpected end of template"),
        ("%%generate\n{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("%%generate\n{{ city.nope }}", "has no attribute 'nope'"),
        ("%%generate\n{{ items.append(1) }}", "SecurityError"),
        ("%generate --out {{ nope }} hi", "'nope' is undefined"),
        (
            "%%generate --over citi\nhi",
            "--over citi: there is no such variable; did you mean 'city'?",
        ),
        ("%%generate --over city\nhi", "--over city: that is a str, a DataFrame is needed"),
        ("%%generate --over frame.hed(2)\nhi", "--over frame.hed(2): AttributeError: "),
        ("%%generate --over 'frame['\nhi", "--over frame[: that is no variable and no expression"),
        ("%%generate --over fram\nhi", "there is no such variable; did you mean 'frame'?"),
        ("%%generate --choices __nam\nhi", "--choices __nam: there is no such variable"),
        ("%%generate --model other\nhi", "NoModelError: no model called 'other' is loaded"),
        ("%%chat -n 2\nhi", "a conversation goes on with one answer"),
        ("%%chat --over frame --reset\nhi", "--over has a conversation per row"),
        ("%nbllm lode tiny", "%nbllm has no 'lode'; did you mean 'load'?"),
        ("%nbllm use", "%nbllm use which model? loaded: fake"),
        ("%nbllm load tiny extra", "%nbllm load: there is one word too many, 'extra'"),
        ("%nbllm load no-such-model", "ModelError: 'no-such-model' is neither a folder nor"),
        ("%nbllm status --dtype float16", "unknown option --dtype"),
        ("%nbllm unload other", "NoModelError: no model called 'other'"),
    ],
)
def test_one_line_and_nothing_lost(fails, shell, llm, run, source, message):
    import pandas as pd

    from nbllm import resident

    frame = pd.DataFrame({"x": [1]})
    shell.user_ns.update(city="Oslo", items=[1], frame=frame, a="kept", b="kept")
    run("%chat -m 1 hello")
    before = dict(shell.user_ns["get_ipython"]().magics_manager.registry["Nbllm"].conversations)
    assert message in fails(source)
    assert shell.magics_manager.registry["Nbllm"].conversations == before
    assert shell.user_ns["a"] == shell.user_ns["b"] == "kept"
    assert shell.user_ns["items"] == [1]
    assert resident.current() is llm
    assert not llm.closed
    assert llm.running == 0


def test_an_unexpected_error_is_a_traceback_and_leaves_no_request(shell, llm, capsys):
    def broken(step):
        if step == 2:
            raise RuntimeError("a bug")

    llm.at_step = broken
    assert isinstance(shell.run_cell("%generate hi").error_in_exec, RuntimeError)
    assert "Traceback" in capsys.readouterr().out
    assert llm.running == 0
