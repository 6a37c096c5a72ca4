"""Frames: columns, types, order, and the way through files."""

import math

import pandas as pd
import pytest
from html_page import HOSTILE

import nbllm
from nbllm import LLM, SamplingParams
from nbllm.frames import COLUMNS, TOKEN_COLUMNS, tokens_frame


def kinds(frame):
    return {name: str(kind) for name, kind in frame.dtypes.items()}


@pytest.fixture(scope="module")
def tiny():
    with LLM("tiny", device="cpu", max_logprobs=-1) as llm:
        yield llm


def test_columns_and_kinds(run, llm):
    frame = run("%%generate -m 3 -n 2\nhi").df
    assert kinds(frame) == COLUMNS
    assert frame.mean_logprob.tolist() == [-0.5] * 2
    assert kinds(nbllm.to_frame([])) == COLUMNS


def test_tokens_frame(tiny):
    params = SamplingParams(max_tokens=5, n=2, seed=1, logprobs=3)
    outputs = tiny.generate(["Once upon", "The capital"], params, use_tqdm=False)
    frame = tokens_frame(outputs)
    assert kinds(frame) == TOKEN_COLUMNS
    completions = [c for o in outputs for c in o.outputs]
    assert frame.token_id.tolist() == [t for c in completions for t in c.token_ids]
    assert frame.position.tolist() == [i for c in completions for i in range(len(c.token_ids))]
    sums = frame.groupby(["prompt", "output"], sort=False).logprob.sum().tolist()
    assert sums == pytest.approx([c.cumulative_logprob for c in completions], abs=1e-4)
    assert "".join(frame.token[:5]) == completions[0].text
    for row in frame.itertuples():
        assert len(row.top_tokens) == len(row.top_logprobs) >= 3
        assert row.top_logprobs == sorted(row.top_logprobs, reverse=True)
        assert (row.rank <= 3) == (row.token in row.top_tokens)
    pd.testing.assert_frame_equal(
        outputs[0].tokens_frame(), frame.iloc[: len(outputs[0].tokens_frame())]
    )


def test_entropy_is_a_bound_and_exact_for_the_whole_vocabulary(tiny):
    bounds = {}
    for k in (0, 3, 20, -1):
        params = SamplingParams(max_tokens=4, temperature=0, logprobs=k)
        bounds[k] = tokens_frame(tiny.generate("Once upon a", params, use_tqdm=False)).entropy
    whole = tiny.generate("Once upon a", params, use_tqdm=False)[0].outputs[0].logprobs
    exact = [-math.fsum(p.logprob * math.exp(p.logprob) for p in at.values()) for at in whole]
    assert bounds[-1].tolist() == pytest.approx(exact, abs=1e-4)
    for lower, higher in ((0, 3), (3, 20), (20, -1)):
        assert (bounds[lower] <= bounds[higher] + 1e-6).all()


def test_without_logprobs_only_ids_are_known(tiny):
    frame = tokens_frame(tiny.generate("Once", SamplingParams(max_tokens=3), use_tqdm=False))
    assert len(frame) == 3
    assert frame.token.isna().all()
    assert frame.logprob.isna().all()
    assert frame["rank"].isna().all()
    assert kinds(tokens_frame([])) == TOKEN_COLUMNS


def test_tokens_of_a_result_keep_the_columns_of_its_frame(run, llm, shell):
    shell.user_ns["f"] = pd.DataFrame({"x": ["a", "b"], "token": [1, 2]})
    result = run("%%generate -m 3 -l 1 --over f --grid top_k=1,2\n{{ x }}")
    tokens = result.tokens_frame()
    assert tokens.x.tolist() == ["a"] * 6 + ["b"] * 6
    assert tokens.token_over.tolist() == [1] * 6 + [2] * 6
    assert tokens.top_k.tolist() == ([1] * 3 + [2] * 3) * 2


@pytest.fixture
def hostile(run, llm, shell):
    shell.user_ns["f"] = pd.DataFrame({"x": [HOSTILE, "a,b;\"c'\n\nd\te", "NA", "null"]})
    run("%%generate out --over f -n 2 -m 2 --stop '\\n' --grid top_p=0.5,1\n{{ x }}")
    return shell.user_ns["out"]


def test_through_parquet(hostile, tmp_path):
    hostile.to_parquet(tmp_path / "x.parquet")
    again = pd.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(again, hostile)
    assert again.attrs == hostile.attrs


def test_through_csv(hostile, tmp_path):
    """With pandas' own words for missing values off; attrs are not in a CSV."""
    hostile.to_csv(tmp_path / "x.csv", index_label="row", lineterminator="\n", escapechar="\\")
    again = pd.read_csv(
        tmp_path / "x.csv", index_col="row", keep_default_na=False, lineterminator="\n",
        escapechar="\\",
    )  # fmt: skip
    again.index.name = None
    clean = hostile.drop(columns=["x", "prompt", "text"])
    pd.testing.assert_frame_equal(again.drop(columns=["x", "prompt", "text"]), clean)
    assert again.x.tolist()[4:] == hostile.x.tolist()[4:]


def test_tokens_through_parquet(tiny, tmp_path):
    params = SamplingParams(max_tokens=3, logprobs=2)
    frame = tokens_frame(tiny.generate("Once", params, use_tqdm=False))
    frame.to_parquet(tmp_path / "t.parquet")
    again = pd.read_parquet(tmp_path / "t.parquet")
    for name in ("top_tokens", "top_logprobs"):
        assert [list(v) for v in again[name]] == frame[name].tolist()
    rest = frame.drop(columns=["top_tokens", "top_logprobs"])
    pd.testing.assert_frame_equal(again[rest.columns], rest)


def test_attrs_are_small(run, llm, shell):
    import json

    shell.user_ns["f"] = pd.DataFrame({"x": ["a"] * 500})
    frame = run("%%generate -m 1 --over f\n{{ x }}").df
    assert len(json.dumps(frame.attrs["nbllm"])) < 500
    assert frame[frame.num_tokens > 0].attrs["nbllm"]["run"] == frame.attrs["nbllm"]["run"]


def test_timings_only_on_request(run, llm, shell):
    from nbllm.frames import TIMING_COLUMNS

    assert not {*TIMING_COLUMNS} & {*run("%generate -m 2 a b").df.columns}
    frame = run("%%generate -m 2 -n 2 --grid top_k=1,2 --timings\na b").df
    assert frame.columns[7:].tolist() == [*TIMING_COLUMNS, "top_k"]
    assert frame.dtypes[[*TIMING_COLUMNS]].astype(str).tolist() == ["float64"] * 3
    assert frame.latency.notna().all()


def test_timings_of_searches_and_of_labels(tiny):
    from nbllm.errors import ParamError

    params = nbllm.BeamSearchParams(beam_width=2, max_tokens=3)
    frame = nbllm.to_frame(tiny.beam_search(["a", "b"], params), timings=True)
    assert len(frame) == 4
    assert (frame.latency > 0).all()
    assert frame.latency[0] == frame.latency[1]
    with pytest.raises(ParamError, match="there are none of a ScoreOutput"):
        nbllm.to_frame(tiny.score(["a b"], use_tqdm=False), timings=True)
