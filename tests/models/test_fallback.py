"""Models without a file of their own run through transformers, or are refused in one line."""

import json
import subprocess
import sys

import pytest
import torch
from tiny_models import write_model

from nbllm import LLM, SamplingParams
from nbllm.errors import ModelError, ParamError

SHAPE = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 261,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_routed_experts": 4}
REFUSED = {
    "MambaConfig": ({}, "keeps a state beside keys and values"),
    "FalconH1Config": ({}, "keeps a state beside keys and values"),
    "DeepseekV3Config": (
        {**EXPERTS, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
        "queries, keys and values are not of one size",
    ),
    "GptOssConfig": ({"num_local_experts": 4, "num_experts_per_tok": 2}, "attention has s_aux"),
    "T5Config": ({}, "it has an encoder besides its decoder"),
    "LlavaConfig": ({}, "it is multimodal"),
    "BertConfig": ({}, "its attention is neither causal nor has a sliding window"),
    "BloomConfig": ({}, "its state or attention is of its own"),
    "GPTJConfig": ({"rotary_dim": 4}, "transformers has no attention interface for it"),
}


def config_of(name: str, changes: dict) -> dict:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    config = getattr(transformers, name)(**({} if name == "LlavaConfig" else {**SHAPE, **changes}))
    config.architectures = [NAMES.get(config.model_type, "SomethingElse")]
    return json.loads(config.to_json_string())


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_weights_are_read(name, tmp_path):
    changes, message = REFUSED[name]
    config = config_of(name, changes)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("never read")
    with pytest.raises(ModelError, match=message) as caught:
        LLM(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(config["architectures"][0])


def test_another_head_than_that_of_a_language_model(tmp_path):
    config = config_of("LlamaConfig", {}) | {"architectures": ["LlamaForSequenceClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="it is no causal language model"):
        LLM(tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("qwen3", {}),
        ("gemma2", {}),
        ("gemma3", {}),
        ("mixtral", {"sliding_window": 40}),
        ("phi3", {"partial_rotary_factor": 0.5}),
        ("gpt2", {}),
    ],
)
def test_both_ways_agree(kind, changes, tmp_path, on_gpu):
    if kind == "mixtral" and on_gpu:
        pytest.skip("on a GPU transformers' grouped products are of bfloat16 alone")
    write_model(kind, tmp_path, **changes)
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)
    prompts, found = [[5, 6, 7] * 30, [9]], []
    for impl in ("native", "transformers"):
        with LLM(tmp_path, dtype="float32", model_impl=impl) as llm:
            outputs = llm.generate(prompts, params, use_tqdm=False)
            found.append([o.outputs[0].token_ids for o in outputs])
            assert llm.info().implementation.startswith(impl)
    assert found[0] == found[1]


def test_it_says_why(tmp_path):
    write_model("gpt_neox", tmp_path)
    with LLM(tmp_path) as llm:
        assert llm.info().implementation == "transformers (nbllm has no code for it)"
    with LLM(tmp_path, model_impl="transformers") as llm:
        assert llm.info().implementation == "transformers (as asked for)"
    with pytest.raises(ModelError, match="is a GPTNeoXForCausalLM; nbllm runs GPT2LMHeadModel"):
        LLM(tmp_path, model_impl="native")


def test_a_field_that_native_code_lacks(tmp_path):
    write_model("llama", tmp_path, hidden_act="gelu")
    with LLM(tmp_path) as llm:
        assert "hidden_act='silu', config.json says 'gelu'" in llm.info().implementation
    with pytest.raises(ModelError, match="LlamaForCausalLM has hidden_act='silu'"):
        LLM(tmp_path, model_impl="native")


def test_an_unknown_way(llama):
    with pytest.raises(ParamError, match="model_impl must be one of auto, native, transformers"):
        LLM(llama[0], model_impl="vllm")


def test_a_state_that_nobody_declares_is_found(tmp_path, monkeypatch):
    """A decoder that mixes tokens outside its attention gives other logits in two steps."""
    from transformers import GPTNeoXModel

    write_model("gpt_neox", tmp_path)
    forward = GPTNeoXModel.forward

    def mixing(self, *args, **kwargs):
        out = forward(self, *args, **kwargs)
        out.last_hidden_state = out.last_hidden_state.cumsum(1)
        return out

    monkeypatch.setattr(GPTNeoXModel, "forward", mixing)
    with pytest.raises(
        ModelError, match="GPTNeoXForCausalLM gives other logits with nbllm's cache"
    ):
        LLM(tmp_path)


def test_native_models_do_not_import_transformers(llama):
    code = (
        "import sys\nfrom nbllm import LLM\n"
        f"with LLM({str(llama[0])!r}) as llm: llm.generate('a', use_tqdm=False)\n"
        "assert 'transformers' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_original_gpt2_weights(tmp_path):
    """They have no prefix, carry their causal masks, and share the head with the embeddings."""
    from safetensors.torch import load_file, save_file

    model = write_model("gpt2", tmp_path, tie_word_embeddings=True)
    weights = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("transformer."): w for name, w in weights.items()}
    bare.pop("lm_head.weight", None)
    bare |= {f"h.{i}.attn.bias": torch.ones(1, 1, 256, 256) for i in range(2)}
    save_file(bare, tmp_path / "model.safetensors")
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
    with LLM(tmp_path) as llm:
        out = llm.generate([5, 6, 7], params, use_tqdm=False)[0].outputs[0].token_ids
    logits = model(torch.tensor([[5, 6, 7, *out]])).logits[0, 2:-1]
    assert logits.argmax(-1).tolist() == out
