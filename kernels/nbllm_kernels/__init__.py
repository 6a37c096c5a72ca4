"""The operations of nbllm's models and sampler, one a file, each defined by its torch reference."""
