"""The architectures nbllm runs natively. To add one: write the file, add the line."""

MODELS: dict[str, str | type] = {
    "LlamaForCausalLM": "nbllm.models.llama:LlamaForCausalLM",
    "OPTForCausalLM": "nbllm.models.opt:OPTForCausalLM",
    "Qwen3ForCausalLM": "nbllm.models.qwen3:Qwen3ForCausalLM",
}
"""Architecture, as config.json names it → class, or "module:class" to be imported when needed."""


def register(architecture: str, model: str | type) -> None:
    """Make a model of your own loadable: folders whose config.json names `architecture` use it.

    model: a class that implements `interface.TextGenerationModel`, or "module:class".
    A name that is known already is replaced.
    """
    MODELS[architecture] = model
