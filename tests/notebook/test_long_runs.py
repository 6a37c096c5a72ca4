"""A run that is killed half-way, for real: nothing is lost, nothing is done twice."""

import json
import time

import pytest
from real_kernel import running

pytestmark = pytest.mark.slow

ROWS = 3000
SETUP = f"""\
%load_ext nbllm
%nbllm load tiny
import nbllm, pandas
rows = pandas.DataFrame({{"x": [f"Row {{i}}: there was a" for i in range({ROWS})]}})
"""


def lines(file):
    return file.read_text().count("\n") if file.exists() else 0


@pytest.mark.timeout(900)
def test_killed_half_way_and_resumed(environment, tmp_path):
    file = tmp_path / "run.jsonl"
    cell = f"%%generate out --over rows -m 4 --checkpoint {file}\n{{{{ x }}}}"
    with running(environment, SETUP) as kernel:
        kernel.client.execute(cell)
        end = time.monotonic() + 300
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
        check = (
            "params = nbllm.last.work\n"
            "whole = nbllm.current().generate(list(rows.x), [params.params_of(i) for i in range(len(rows))],"
            " use_tqdm=False)\n"
            "same = [o.outputs[0].token_ids for o in whole] == "
            "[o.outputs[0].token_ids for o in nbllm.last.outputs]"
        )
        reply, _ = kernel.run(check)
        assert reply["status"] == "ok", reply
        assert kernel.value("(same, len(out), out.x.tolist() == rows.x.tolist())") == (
            f"(True, {ROWS}, True)"
        )
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(record["place"] for record in records[1:]) == list(range(ROWS))
