"""vLLM's address of `load_chat_template`."""

from nbllm.chat.templates import load_chat_template

__all__ = ["load_chat_template"]
