"""A frame of 10,000 rows, for real: killed half-way nothing is lost and nothing done twice; memory is bounded."""

import json
import time

import pytest
from real_kernel import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROWS, FEW = 10_000, 1_000
SETUP = f"""\
%load_ext nbllm
%nbllm load tiny --device cpu
import nbllm, pandas, resource
rows = pandas.DataFrame({{"x": [f"Row {{i}}: there was a" for i in range({ROWS})]}})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
"""
CHECK = """\
work, llm = nbllm.last.work, nbllm.current()
whole = llm.generate(list(rows.x), [work.params_of(i) for i in range(len(rows))], use_tqdm=False)
same = [o.outputs[0].token_ids for o in whole] == [o.outputs[0].token_ids for o in nbllm.last.outputs]
"""


def lines(file):
    return file.read_text().count("\n") if file.exists() else 0


def test_killed_half_way_and_resumed(environment, tmp_path):
    file = tmp_path / "run.jsonl"
    cell = f"%%generate out --over rows -m 2 --checkpoint {file}\n{{{{ x }}}}"
    with running(environment, SETUP) as kernel:
        kernel.client.execute(cell)
        end = time.monotonic() + 900
        while lines(file) < ROWS // 2:
            assert time.monotonic() < end
            time.sleep(0.02)
        kernel.manager.signal_kernel(9)
    before = lines(file)
    assert ROWS // 2 <= before < ROWS
    with running(environment, SETUP) as kernel:
        reply, messages = kernel.run(cell)
        assert reply["status"] == "ok", reply
        said = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
        assert "going on: " in said
        # what came of the two halves is what one run makes
        reply, _ = kernel.run(CHECK)
        assert reply["status"] == "ok", reply
        assert kernel.value("(same, len(out), out.x.tolist() == rows.x.tolist())") == (
            f"(True, {ROWS}, True)"
        )
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(record["place"] for record in records[1:]) == list(range(ROWS))


def test_memory_is_bounded(environment):
    cell = "%%generate out --over rows.head({}) -m 2 -l 2\n{{{{ x }}}}"
    with running(environment, SETUP) as kernel:
        # everything was used once, and the engine had as many requests as it ever has
        reply, _ = kernel.run(cell.format(2 * FEW))
        assert reply["status"] == "ok", reply
        before = float(kernel.value("peak()"))
        reply, _ = kernel.run(cell.format(ROWS))
        assert reply["status"] == "ok", reply
        grown = float(kernel.value("peak()")) - before
        assert kernel.value("len(out)") == str(ROWS)
        # what the user gets: an output with its token ids and probabilities, and a row
        assert grown * 2**10 / (ROWS - 2 * FEW) < 20, grown
