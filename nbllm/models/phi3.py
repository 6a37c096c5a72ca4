"""Phi-3 and Phi-4-mini: Llama whose checkpoints are stored fused (Abdin et al. 2024).

Phi-4-mini rotates three quarters of a head; the 128k models' positions: see rotary.py.
"""

from . import llama


class Phi3ForCausalLM(llama.LlamaForCausalLM):
    FUSED = {}
