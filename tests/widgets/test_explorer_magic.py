"""`%tokenexplorer`, run by the magics themselves."""

import pytest


@pytest.fixture
def explored(shell):
    """f(cell) → the widget that it makes, when it has ended what it began with."""
    made = []

    def explored(cell):
        made.append(shell.run_cell(cell).result)
        assert made[-1].wait(30)
        assert made[-1].error == ""
        return made[-1]

    yield explored
    for each in made:
        each.close()


def test_a_prompt(shell, explored):
    shell.user_ns["name"] = "xyz"
    explorer = explored("%%tokenexplorer e -t 0 -m 5 --logprobs 2 --ignore-eos\nabc {{ name }}")
    assert explorer is shell.user_ns["e"]
    assert (explorer.prompt, len(explorer.shown.token_ids)) == ("abc xyz", 5)
    assert (explorer.params.temperature, explorer.params.max_tokens) == (0, 5)
    assert explored("%tokenexplorer -m 3 --raw {{ name }}").prompt == "{{ name }}"


def test_alone_it_is_empty(explored):
    explorer = explored("%config Nbllm.top_k = 3\n%tokenexplorer")
    assert (explorer.branches, explorer.params.top_k, explorer.params.max_tokens) == ([], 3, 256)


def test_a_text(explored):
    explorer = explored("%%tokenexplorer --score\nhello there")
    assert explorer.shown.finish_reason is None
    assert explorer.shown.scored
    assert explorer.prompt == "hello there"


def test_a_result(shell, explored):
    made = shell.run_cell("%generate -t 0.5 -m 4 --logprobs 2 abc").result
    explorer = explored("%tokenexplorer --from _")
    assert explorer.shown.text == made.text
    assert (explorer.params.temperature, explorer.params.max_tokens) == (0.5, 4)
    shell.user_ns["made"] = made
    assert explored("%tokenexplorer --from made -t 0").params.temperature == 0


def test_a_row(shell, explored):
    shell.run_cell("%%generate out -n 3 -m 4 --seed 1\nabc").raise_error()
    explorer = explored("%tokenexplorer --from out --row 2")
    assert explorer.shown.text == shell.user_ns["out"].text[2]
    assert explorer.params.max_tokens == 256


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--score", "--score what?"),
        ("--from nothing", "there is no such variable"),
        ("--from out abc", "--from VARIABLE goes without a prompt"),
        ("--row 1", "--row goes with --from"),
        ("--from out --row 9", "--row 9: out has 2 rows, from 0"),
        ("--from out", "the frame has 2 rows: give one"),
        ("--from number --row 1", "number is a int, a DataFrame is needed"),
        ("--from number", "prompts must be a string"),
        ("--temprature 1", "did you mean '--temperature'"),
    ],
)
def test_mistakes_are_one_line(shell, capsys, line, said):
    import pandas as pd

    shell.user_ns |= {"out": pd.DataFrame({"prompt": ["a", "b"], "text": ["c", "d"]}), "number": 3}
    assert not shell.run_cell(f"%tokenexplorer {line}").success
    printed = "".join(capsys.readouterr())
    assert said in printed
    assert len(printed.strip().splitlines()) == 1
