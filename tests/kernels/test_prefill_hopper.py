"""Gluon cannot be interpreted: without a GPU its kernel is compiled for one, and what it asks for is read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="no Triton for this platform")

COMPILED = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon._runtime import GluonASTSource
from nbllm_kernels import prefill_hopper as p

heads, group, dim, dtype, rows = json.loads(sys.argv[1])
kernel = p._prefill_hopper_kernel
constants = {"H": heads, "GROUP": group, "D": dim, "PAGE": 64, "BLOCK_N": p.BLOCK_N, "ROWS": rows}
constants["STAGES"] = p.STAGES
if not rows:
    constants["rows_ptr"] = None
layout = p._layout(64, dim, getattr(p.torch, {"bf16": "bfloat16", "fp16": "float16"}[dtype]))
types = dict.fromkeys(kernel.arg_names, "i32") | {"to_bits": "fp32"}
types |= {n: "*i32" for n in types if n.endswith("_ptr")}
types |= {"q_ptr": "*" + dtype, "out_ptr": "*" + dtype, "lens_ptr": "*i64", "q_starts_ptr": "*i64"}
types["kv_desc"] = f"tensordesc<{dtype}[64,{dim}],{layout!r}>"
types |= dict.fromkeys(constants, "constexpr")
source = GluonASTSource(kernel, types, constants)
found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
text = found.asm["ptx"]
print(json.dumps({
    "shared": found.metadata.shared,
    "products": text.count("wgmma.mma_async"),
    "copies": text.count("cp.async.bulk.tensor"),
    "spills": ".local" in text,
}))
"""


@pytest.mark.parametrize("case", ['[32, 4, 128, "bf16", false]', '[12, 1, 64, "fp16", true]'])
def test_compiles_for_a_hopper(case):

    folder = Path(__file__).parents[2] / "kernels"
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    out = subprocess.run(
        [sys.executable, "-c", COMPILED, case],
        capture_output=True,
        text=True,
        env={**env, "PYTHONPATH": str(folder)},
    )
    assert out.returncode == 0, out.stderr[-2000:]
    found = json.loads(out.stdout.splitlines()[-1])
    assert found["shared"] <= 227 << 10, "what one program may use"
    assert found["products"]
    assert found["copies"]
    assert not found["spills"]
