"""`%beamexplorer` in a shell, over a tiny random model."""


def run(shell, cell):
    """The widget, when it has searched."""
    result = shell.run_cell(cell)
    result.raise_error()
    assert result.result.wait(30)
    assert result.result.error == ""
    return result.result


def refused(shell, cell, capsys):
    capsys.readouterr()
    assert not shell.run_cell(cell).success
    said = "".join(capsys.readouterr()).strip()
    assert len(said.splitlines()) == 1
    return said


def test_a_cell(shell, ascii_llm):
    shell.user_ns["animal"] = "cat"
    explorer = run(shell, "%%beamexplorer e --width 3 -m 6 --length-penalty 0.5\nthe {{ animal }}")
    assert explorer is shell.user_ns["e"]
    assert explorer.prompt == "the cat"
    params = explorer.output.history.params
    assert (params.beam_width, params.max_tokens, params.length_penalty) == (3, 6, 0.5)
    expected = ascii_llm.beam_search("the cat", params)[0]
    assert list(explorer.df.text) == [s.generated_text for s in expected.sequences]
    explorer.close()


def test_a_line(shell):
    explorer = run(shell, "%beamexplorer --out q -w 2 -m 4 some words")
    assert explorer is shell.user_ns["q"]
    assert (explorer.prompt, len(explorer.df)) == ("some words", 2)
    explorer.close()
    explorer = run(shell, "%beamexplorer")
    assert (explorer.prompt, explorer.params.beam_width, explorer.params.max_tokens) == ("", 5, 32)
    explorer.close()


def test_a_search_that_was_made(shell):
    shell.run_cell("found = %beam -w 4 -m 6 abc").raise_error()
    found = shell.user_ns["found"]
    explorer = run(shell, "%beamexplorer --from found")
    assert explorer.output is found.outputs[0]
    assert explorer.params == found.outputs[0].history.params
    explorer.close()
    explorer = run(shell, "%beamexplorer --from found -m 3 --length-penalty 2")
    assert (explorer.output.history.num_steps, explorer.params.beam_width) == (3, 4)
    explorer.close()


def test_selected_sequences_become_a_variable(shell):
    explorer = run(shell, "%beamexplorer -w 3 -m 4 abc")
    explorer.to_frame("everything")
    assert shell.user_ns["everything"].equals(explorer.df)
    explorer.select(2)
    explorer.to_frame("chosen")
    assert list(shell.user_ns["chosen"].text) == [explorer.df.text[1]]
    assert explorer.view.note == "chosen is a DataFrame of 1 rows"
    explorer.close()


def test_mistakes_are_one_line(shell, capsys):
    assert "did you mean '--width'" in refused(shell, "%beamexplorer --widht 3 a", capsys)
    assert "there is no such variable" in refused(shell, "%beamexplorer --from fuond", capsys)
    said = refused(shell, "%beamexplorer --from shell some words", capsys)
    assert "--from shell has its prompt" in said
    shell.user_ns["number"] = 3
    assert "got int" in refused(shell, "%beamexplorer --from number", capsys)
    assert "beam_width" in refused(shell, "%beamexplorer -w 0 a", capsys)
