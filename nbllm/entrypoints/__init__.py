"""The ways into nbllm other than Python and notebooks."""
