"""The architectures nbllm runs natively. To add one: write the file, add the line."""

MODELS = {
    "LlamaForCausalLM": "nbllm.models.llama:LlamaForCausalLM",
    "OPTForCausalLM": "nbllm.models.opt:OPTForCausalLM",
    "Qwen3ForCausalLM": "nbllm.models.qwen3:Qwen3ForCausalLM",
}
