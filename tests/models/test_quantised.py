"""Quantised checkpoints give what their dequantised weights give; each format is written here."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import write_model

from nbllm import LLM, SamplingParams
from nbllm.errors import ModelError

SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "head_dim": 16}
GROUP = 32
PARAMS = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=5)
PROMPT = list(range(5, 50))
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # which of eight integers lies in the i-th place of its word


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """(folder, its weights) of an ordinary checkpoint."""
    folder = tmp_path_factory.mktemp("plain")
    write_model("llama", folder, **SHAPE)
    return folder, load_file(folder / "model.safetensors")


def in_words(q: np.ndarray, bits: int, order=None) -> torch.Tensor:
    """Integers [..., n] packed into int32 [..., n * bits / 32], one after the other."""
    each = 32 // bits
    words = np.zeros((*q.shape[:-1], q.shape[-1] // each), np.uint32)
    for i in range(each):
        which = order[i] if order else i
        words |= q[..., which::each].astype(np.uint32) << np.uint32(bits * i)
    return torch.from_numpy(words.view(np.int32).copy())


def affine(weight: torch.Tensor, bits: int, groups: np.ndarray):
    """(q [N, K], zeros [N, G], scales [N, G]) of a weight [N, K]; groups [K]: of each column."""
    w, top = weight.float().numpy(), 2**bits - 1
    count = groups.max() + 1
    low = np.stack([w[:, groups == g].min(1) for g in range(count)], 1)
    high = np.stack([w[:, groups == g].max(1) for g in range(count)], 1)
    scales = ((high - low) / top).astype(np.float16).astype(np.float32)
    zeros = np.clip(np.round(-low / scales), 1, top).astype(np.int64)
    q = np.clip(np.round(w / scales[:, groups]) + zeros[:, groups], 0, top).astype(np.int64)
    return q, zeros, scales


def halves(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).half()


def gptq(name, weight, *, bits=4, reordered=False, version=1):
    groups = np.arange(weight.shape[1]) // GROUP
    if reordered:
        groups = np.random.default_rng(1).permutation(groups)
    q, zeros, scales = affine(weight, bits, groups)
    want = (q - zeros[:, groups]) * scales[:, groups]
    stored = {
        "qweight": in_words(q, bits).t().contiguous(),
        "qzeros": in_words(zeros.T - (version == 1), bits),
        "scales": halves(scales.T),
        "g_idx": torch.from_numpy(groups.astype(np.int32)),
    }
    if not reordered and name.endswith("o_proj"):
        del stored["g_idx"]  # some files leave it out
    return stored, want


def awq(name, weight):
    groups = np.arange(weight.shape[1]) // GROUP
    q, zeros, scales = affine(weight, 4, groups)
    stored = {
        "qweight": in_words(np.ascontiguousarray(q.T), 4, AWQ_ORDER),
        "qzeros": in_words(np.ascontiguousarray(zeros.T), 4, AWQ_ORDER),
        "scales": halves(scales.T),
    }
    return stored, (q - zeros[:, groups]) * scales[:, groups]


def fp8(name, weight, *, block=None, rows=False, scale_name="weight_scale"):
    if block:
        n, k = weight.shape
        grid = np.ix_(np.arange(n) // block, np.arange(k) // block)
        scale = torch.rand(-(-n // block), -(-k // block)) + 0.5
        spread = scale[grid]
    else:
        scale = torch.rand(weight.shape[0], 1) + 0.5 if rows else torch.tensor([0.7])
        spread = scale
    q = (weight / spread).to(torch.float8_e4m3fn)
    stored = {"weight": q, scale_name: scale, "input_scale": torch.ones(1)}
    return stored, (q.float() * spread).numpy()


def int8(name, weight):
    scale = weight.abs().amax(1, keepdim=True) / 127
    q = (weight / scale).round().to(torch.int8)
    return {"weight": q, "weight_scale": scale}, (q.float() * scale).numpy()


def packed(name, weight, *, bits=4, zeros=False):
    groups = np.arange(weight.shape[1]) // GROUP
    q, zero, scales = affine(weight, bits, groups)
    if not zeros:
        zero = np.full_like(zero, 2 ** (bits - 1))
        scales = scales * 2
        q = np.clip(np.round(weight.numpy() / scales[:, groups]) + zero[:, groups], 0, 2**bits - 1)
        q = q.astype(np.int64)
    stored = {
        "weight_packed": in_words(q, bits),
        "weight_scale": halves(scales),
        "weight_shape": torch.tensor(weight.shape),
    }
    scales = halves(scales).float().numpy()
    if zeros:
        stored["weight_zero_point"] = in_words(np.ascontiguousarray(zero.T), bits).t().contiguous()
    return stored, (q - zero[:, groups]) * scales[:, groups]


def tensors_of(settings: dict, form: str | None = None):
    return {"quant_method": "compressed-tensors", "config_groups": {"g": settings}, "format": form}


FORMATS = {
    "gptq, 4 bits": ({"quant_method": "gptq", "bits": 4, "group_size": GROUP}, gptq, {}),
    "gptq, 8 bits": ({"quant_method": "gptq", "bits": 8, "group_size": GROUP}, gptq, {"bits": 8}),
    "gptq, reordered": (
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": True},
        gptq,
        {"reordered": True},
    ),
    "gptq, second format": (
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "checkpoint_format": "gptq_v2"},
        gptq,
        {"version": 2},
    ),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"}, awq, {}),
    "fp8": ({"quant_method": "fp8", "activation_scheme": "static"}, fp8, {}),
    "fp8 in blocks": (
        {"quant_method": "fp8", "weight_block_size": [40, 40]},
        fp8,
        {"block": 40, "scale_name": "weight_scale_inv"},
    ),
    "compressed fp8": (
        tensors_of({"weights": {"num_bits": 8, "type": "float"}}, "float-quantized"),
        fp8,
        {"rows": True},
    ),
    "compressed int8": (
        tensors_of({"weights": {"num_bits": 8, "type": "int"}}, "int-quantized"),
        int8,
        {},
    ),
    "compressed int4": (
        tensors_of({"weights": {"num_bits": 4, "type": "int"}}, "pack-quantized"),
        packed,
        {},
    ),
    "compressed int4 with zero points": (
        tensors_of({"weights": {"num_bits": 4, "symmetric": False}}, "pack-quantized"),
        packed,
        {"zeros": True},
    ),
}


def write(plain, folder, settings, quantise, options):
    """`folder` / quantised, and `folder` / plain with the weights it stands for."""
    source, weights = plain
    torch.manual_seed(0)
    stored, want = {}, dict(weights)
    for name, weight in weights.items():
        if not name.endswith("proj.weight"):
            stored[name] = weight
            continue
        module = name.removesuffix(".weight")
        parts, made = quantise(module, weight.float(), **options)
        stored |= {f"{module}.{part}": tensor for part, tensor in parts.items()}
        want[name] = torch.from_numpy(np.ascontiguousarray(made)).float()
    for kind, tensors in (("quantised", stored), ("plain", want)):
        shutil.copytree(source, folder / kind)
        save_file(tensors, folder / kind / "model.safetensors")
    path = folder / "quantised" / "config.json"
    config = {**json.loads(path.read_text()), "quantization_config": settings}
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_logprobs_as_dequantised(plain, tmp_path, kind):
    write(plain, tmp_path, *FORMATS[kind])
    outputs = []
    for name in ("quantised", "plain"):
        with LLM(tmp_path / name, dtype="float32") as llm:
            outputs.append(llm.generate(PROMPT, PARAMS, use_tqdm=False)[0].outputs[0])
            stated = llm.info().quantization
            assert (stated is None) == (name == "plain")
            assert stated is None or "made plain when loaded" in stated
    mine, want = outputs
    assert mine.token_ids == want.token_ids
    for a, b in zip(mine.logprobs, want.logprobs, strict=True):
        assert a.keys() == b.keys()
        assert all(abs(a[t].logprob - b[t].logprob) < 1e-5 for t in a)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"quant_method": "bitsandbytes"},
            "'bitsandbytes' are not supported; nbllm reads gptq, awq",
        ),
        ({"quant_method": "gptq", "bits": 3}, "3 bits is not supported"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "'gemv' order"),
        (tensors_of({"weights": {"num_bits": 2}}, "marlin-24"), "'marlin-24' with 2 bits"),
    ],
)
def test_formats_that_are_not_read(plain, tmp_path, settings, message):
    write(plain, tmp_path, settings, awq, {})
    with pytest.raises(ModelError, match=message):
        LLM(tmp_path / "quantised")


def test_a_missing_part_is_named(plain, tmp_path):
    write(plain, tmp_path, *FORMATS["awq"])
    file = tmp_path / "quantised" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.0.mlp.up_proj.scales"]
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"lacks model.layers.0.mlp.up_proj.weight.*up_proj.q"):
        LLM(tmp_path / "quantised")


def test_quantization_may_be_named(plain, tmp_path):
    write(plain, tmp_path, *FORMATS["awq"])
    LLM(tmp_path / "quantised", quantization="awq").close()
    with pytest.raises(ModelError, match=r"stored quantised by awq.*leave quantization='gptq' out"):
        LLM(tmp_path / "quantised", quantization="gptq")
    with pytest.raises(ModelError, match="stored plain"):
        LLM(tmp_path / "plain", quantization="fp8")
