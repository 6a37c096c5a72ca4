"""From nothing to a first token, in fresh processes: random weights of well-known shapes, on disk.

Every process finds the weights in the page cache. Beyond `import torch`, which is not ours, stand:
importing nbllm, loading, and the first token of a prompt of 100. "cold" is the first process of a
machine: no kernel has been compiled yet.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from nbllm.models import load
from nbllm.models.config import ModelConfig

from .gpu import SHAPES, write_folder

WARM_RUNS = 3
SHARD = 4 << 30
CHILD = """
import json, sys, time
times, begin = {}, time.perf_counter()
def passed(name):
    global begin
    times[name], begin = time.perf_counter() - begin, time.perf_counter()
import torch
passed("torch")
from nbllm import LLM, SamplingParams
passed("import")
llm = LLM(sys.argv[1])
passed("load")
params = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
llm.generate([list(range(5, 105))], params, use_tqdm=False)
passed("first token")
assert "transformers" not in sys.modules
print(json.dumps(times))
"""


def tensors(name: str) -> dict[str, tuple[int, ...]]:
    """The checkpoint's tensors and their shapes."""
    from nbllm.models.sources import sources

    shape = SHAPES[name]
    model = load.model_class(shape["architectures"][0])(ModelConfig.from_hf(shape))
    found = {}
    for parameter, parts in sources(model, ()).items():
        whole = model.get_parameter(parameter)
        rows = [whole.shape[0]]
        if len(parts) == 3:
            size = shape.get("head_dim") or shape["hidden_size"] // shape["num_attention_heads"]
            kv = shape.get("num_key_value_heads", shape["num_attention_heads"]) * size
            rows = [shape["num_attention_heads"] * size, kv, kv]
        elif len(parts) == 2:
            rows = [whole.shape[0] // 2] * 2
        found |= {s.name: (r, *whole.shape[1:]) for s, r in zip(parts, rows, strict=True)}
    return found


def write_weights(name: str, folder: Path) -> int:
    """bfloat16 noise in shards; returns its bytes."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = total = 0
    for tensor, shape in tensors(name).items():
        count = 2 * torch.Size(shape).numel()
        if size + count > SHARD:
            shards.append({})
            size = 0
        shards[-1][tensor] = shape
        size, total = size + count, total + count
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        index |= dict.fromkeys(shard, file)
        header, at = {}, 0
        for tensor, shape in shard.items():
            end = at + 2 * torch.Size(shape).numel()
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
            at = end
        words = json.dumps(header).encode()
        words += b" " * (-len(words) % 8)
        with (folder / file).open("wb") as out:
            out.write(len(words).to_bytes(8, "little") + words)
            for shape in shard.values():
                noise = torch.randn(shape, device=device).mul_(0.02).bfloat16().cpu()
                out.write(noise.view(torch.uint8).numpy().data)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return total


def fresh(folder: Path, kernels: Path) -> dict[str, float]:
    """The times of a process that loads and makes one token; compiled kernels are in `kernels`."""
    env = {**os.environ, "TRITON_CACHE_DIR": str(kernels)}
    out = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, env=env
    )
    if out.returncode:
        raise RuntimeError(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def run(name: str) -> Iterator[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as home:
        folder, kernels = Path(home) / "model", Path(home) / "kernels"
        folder.mkdir()
        write_folder(name, folder)
        size = write_weights(name, folder)
        cold = fresh(folder, kernels)
        yield f"{name}, cold: to the first token beyond torch", _beyond(cold), "s"
        runs = [fresh(folder, kernels) for _ in range(WARM_RUNS)]
        yield f"{name}, warm: to the first token beyond torch", _middle(map(_beyond, runs)), "s"
        for part in ("import", "load", "first token"):
            yield f"{name}, warm: {part}", _middle(r[part] for r in runs), "s"
        yield f"{name}, import torch", _middle(r["torch"] for r in runs), "s"
        took = _middle(weights_alone(folder) for _ in range(WARM_RUNS))
        yield f"{name}, weights alone", took, "s"
        yield f"{name}, weights alone", size / took / 1e9, "GB/s"


def weights_alone(folder: Path) -> float:
    """Seconds from files to parameters."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load.build(load.read_config(folder), torch.bfloat16, device)
    checkpoint = load.Checkpoint.open(folder)
    begin = time.perf_counter()
    with load.stream(network, checkpoint.tensors, folder) as weights:
        weights.wait()
    return time.perf_counter() - begin


def _beyond(times: dict[str, float]) -> float:
    return sum(times.values()) - times["torch"]


def _middle(values) -> float:
    return statistics.median(values)
