"""The architectures nbllm runs natively. To add one: write the file, add the line."""

MODELS = {
    "LlamaForCausalLM": "nbllm.models.llama:LlamaForCausalLM",
}
