"""Tiny random models, written as folders like any other."""

import json
from pathlib import Path

BYTES = 256
PRINTABLE = 95
SPECIALS = ["<bos>", "<eos>", "<system>", "<user>", "<assistant>"]
VOCAB = BYTES + len(SPECIALS)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def write_tokenizer(folder: Path, *, ascii_only: bool = False) -> None:
    """A byte-level tokenizer: one token a byte (or printable character), BOS before a prompt."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if ascii_only:
        alphabet = [c for c in alphabet if "!" <= c <= "~" or c == "Ġ"]
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIALS])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", len(alphabet))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


WINDOW = 40
TYPES = ["sliding_attention", "full_attention"]
ENDS = {"bos_token_id": BYTES, "eos_token_id": BYTES + 1}
COMMON = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    **ENDS,
}
GROUPED = {**COMMON, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 12}
KINDS = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", GROUPED),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", GROUPED),
    "opt": ("OPTConfig", "OPTForCausalLM", {**COMMON, "ffn_dim": 64, "word_embed_proj_dim": 48}),
    "mistral": ("MistralConfig", "MistralForCausalLM", {**GROUPED, "sliding_window": WINDOW}),
    "mixtral": (
        "MixtralConfig",
        "MixtralForCausalLM",
        {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", GROUPED),
    "qwen3_moe": (
        "Qwen3MoeConfig",
        "Qwen3MoeForCausalLM",
        {**GROUPED, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 24},
    ),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        {**GROUPED, "sliding_window": WINDOW, "query_pre_attn_scalar": 20},
    ),
    "gemma3": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        {**GROUPED, "sliding_window": WINDOW, "query_pre_attn_scalar": 20, "layer_types": TYPES},
    ),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", {**GROUPED, "pad_token_id": 0}),
    "smollm3": (
        "SmolLM3Config",
        "SmolLM3ForCausalLM",
        {**GROUPED, "no_rope_layers": [1, 0], "pad_token_id": 0},
    ),
    "gpt2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 256, **ENDS},
    ),
    # what nbllm runs through transformers
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {**COMMON, "intermediate_size": 64}),
    "stablelm": ("StableLmConfig", "StableLmForCausalLM", GROUPED),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", {**GROUPED, "pad_token_id": 0}),
    "cohere": ("CohereConfig", "CohereForCausalLM", {**GROUPED, "pad_token_id": 0}),
    "starcoder2": (
        "Starcoder2Config",
        "Starcoder2ForCausalLM",
        {**GROUPED, "sliding_window": WINDOW},
    ),
}


def write_model(
    kind: str, folder: Path, *, seed: int = 0, std: float = 0.2, ascii_only=False, **changes
):
    """A random two-layer model in `folder`; returns the transformers model it was saved from."""
    import torch
    import transformers

    config_name, model_name, shape = KINDS[kind]
    vocab = PRINTABLE + len(SPECIALS) if ascii_only else VOCAB
    config = getattr(transformers, config_name)(**{"vocab_size": vocab, **shape, **changes})
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, model_name)(config).eval().float()
    for name, p in model.named_parameters():
        # norms near one, everything else wide enough that the argmax is never a near-tie
        is_norm = "norm" in name or ".ln_" in name
        mean = 1.0 if is_norm and name.endswith("weight") else 0.0
        p.data.normal_(mean, std, generator=generator)
    model.tie_weights()
    model.save_pretrained(folder)
    write_tokenizer(folder, ascii_only=ascii_only)
    return model
