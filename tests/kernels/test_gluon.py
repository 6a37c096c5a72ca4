"""Gluon cannot be interpreted: its kernels are compiled for a GPU, and what they ask for is read."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from nbllm_kernels._triton import GLUON

pytest.importorskip("triton", reason="no Triton for this platform")

COMPILED = """
import json, re, subprocess, sys, tempfile
from pathlib import Path
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon._runtime import GluonASTSource
from nbllm_kernels import _hopper_gate, _hopper_rows, prefill_hopper
from nbllm_kernels._gluon import layout

name, types, constants, tiles, dtype = json.loads(sys.argv[1])
where = {"hopper_rows_kernel": _hopper_rows, "hopper_gate_kernel": _hopper_gate}
kernel = getattr(where.get(name, prefill_hopper), name)
each = {**dict.fromkeys(kernel.arg_names, "i32"), **types}
for n, (rows, columns) in tiles.items():
    lies = layout(rows, columns, {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype])
    each[n] = f"tensordesc<{dtype}[{rows},{columns}],{lies!r}>"
if name not in where:
    constants.update(BLOCK_N=prefill_hopper.BLOCK_N, STAGES=prefill_hopper.STAGES)
if name == "hopper_gate_kernel":
    constants.update(TOGETHER=_hopper_gate.TOGETHER, STAGES=_hopper_gate.STAGES)
each.update(dict.fromkeys(constants, "constexpr"))
source = GluonASTSource(kernel, each, constants)
found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
text = found.asm["ptx"]
with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
    Path(file.name).write_bytes(found.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    used = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True).stdout
print(json.dumps({
    "shared": found.metadata.shared,
    "products": text.count("wgmma.mma_async"),
    "copies": text.count("cp.async.bulk.tensor"),
    "stack": sum(map(int, re.findall(r"(?:STACK|LOCAL):(\\d+)", used))) if "REG:" in used else None,
}))
"""


def compiled(name, types, constants, tiles, dtype):
    """What the kernel asks for; compiled in a process that does not interpret."""
    folder = Path(__file__).parents[2] / "kernels"
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    out = subprocess.run(
        [sys.executable, "-c", COMPILED, json.dumps([name, types, constants, tiles, dtype])],
        capture_output=True,
        text=True,
        env={**env, "PYTHONPATH": str(folder)},
        check=False,
    )
    assert out.returncode == 0, out.stderr[-2000:]
    return json.loads(out.stdout.splitlines()[-1])


def check_found(found):
    assert found["shared"] <= 227 << 10, "what one program may use"
    assert found["products"]
    assert found["copies"]
    assert found["stack"] == 0, "registers spill"


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize(("heads", "group", "dim"), [(32, 4, 128), (12, 1, 64)])
def test_attention_of_long_prompts(heads, group, dim, dtype):
    names = ("pages_ptr", "rows_ptr", "items_ptr")
    types = {**dict.fromkeys(names, "*i32"), "lens_ptr": "*i64", "q_starts_ptr": "*i64"}
    types |= {"q_ptr": "*" + dtype, "out_ptr": "*" + dtype, "to_bits": "fp32"}
    constants = {"H": heads, "GROUP": group, "D": dim, "PAGE": 64, "ROWS": dtype == "bf16"}
    tiles = {"kv_desc": (64, dim)}
    check_found(compiled("_prefill_hopper_kernel", types, constants, tiles, dtype))


def test_the_installed_triton_is_one_of_those():
    """Another one: compile these for it, run the GPU tests, and say so in `GLUON`."""
    installed = tuple(int(part) for part in version("triton").split(".")[:2])
    assert GLUON[0] <= installed <= GLUON[1]


@pytest.mark.parametrize(
    ("tile", "gate"), [((16, 5, 1), True), ((64, 4, 1), False), ((16, 5, 8), False)]
)
def test_products_of_large_weights(tile, gate):
    block, stages, splits = tile
    y = "*fp32" if splits > 1 else "*bf16"
    types = {"bias_ptr": "*bf16", "add_ptr": "*bf16", "y_ptr": y}
    constants = {"BLOCK_M": block, "STAGES": stages, "SPLITS": splits, "ACT": 4 if gate else 0}
    constants |= {"GATE": gate, "BIAS": True, "ADD": splits == 1, "PDL": True}
    tiles = {"x_desc": (block, 64), "w_desc": (64, 64)}
    check_found(compiled("hopper_rows_kernel", types, constants, tiles, "bf16"))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_gated_products_of_many_rows(dtype):
    constants = {"ACT": 4 if dtype == "bf16" else 3, "PDL": True}
    tiles = {"x_desc": (64, 64), "w_desc": (128, 64)}
    check_found(compiled("hopper_gate_kernel", {"y_ptr": "*" + dtype}, constants, tiles, dtype))
