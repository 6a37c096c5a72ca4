"""The architectures nbllm runs natively. To add one: write the file, add the line."""

MODELS: dict[str, str | type] = {
    "GPT2LMHeadModel": "nbllm.models.gpt2:GPT2LMHeadModel",
    "Gemma2ForCausalLM": "nbllm.models.gemma2:Gemma2ForCausalLM",
    "Gemma3ForCausalLM": "nbllm.models.gemma3:Gemma3ForCausalLM",
    "LlamaForCausalLM": "nbllm.models.llama:LlamaForCausalLM",
    "MistralForCausalLM": "nbllm.models.llama:LlamaForCausalLM",
    "MixtralForCausalLM": "nbllm.models.mixtral:MixtralForCausalLM",
    "OPTForCausalLM": "nbllm.models.opt:OPTForCausalLM",
    "Phi3ForCausalLM": "nbllm.models.phi3:Phi3ForCausalLM",
    "Qwen2ForCausalLM": "nbllm.models.qwen2:Qwen2ForCausalLM",
    "Qwen3ForCausalLM": "nbllm.models.qwen3:Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM": "nbllm.models.qwen3_moe:Qwen3MoeForCausalLM",
    "SmolLM3ForCausalLM": "nbllm.models.smollm3:SmolLM3ForCausalLM",
}
"""Architecture, as config.json names it → class, or "module:class" to be imported when needed."""


def register(architecture: str, model: str | type) -> None:
    """Make a model of your own loadable: folders whose config.json names `architecture` use it.

    model: a class that implements `interface.TextGenerationModel`, or "module:class".
    A name that is known already is replaced.
    """
    MODELS[architecture] = model
