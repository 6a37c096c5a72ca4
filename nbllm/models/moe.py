"""A mixture of experts in place of an MLP: each token goes to k of E (Shazeer et al. 2017).

y = sum over the k likeliest experts e of p_e(x) * down_e(silu(gate_e x) * up_e x)

Parameters of all experts are one matrix, expert after expert; `fused` tells the loader how.
"""

from torch import Tensor, nn

from nbllm_kernels.experts import experts
from nbllm_kernels.route import route

from .config import ModelConfig
from .layers import Linear, RMSNorm, empty


class Stacked(nn.Module):
    """A matrix for each of E experts, beneath each other: [E * out, in]."""

    def __init__(self, count: int, size_in: int, size_out: int):
        super().__init__()
        self.count, self.weight = count, empty(count * size_out, size_in)

    @property
    def matrices(self) -> Tensor:  # [E, out, in]
        return self.weight.view(self.count, -1, self.weight.shape[1])


class Experts(nn.Module):
    def __init__(self, gate_up: Stacked, down: Stacked):
        super().__init__()
        self.gate_up_proj, self.down_proj = gate_up, down

    def forward(self, x: Tensor, ids: Tensor, weights: Tensor, add: Tensor | None) -> Tensor:
        return experts(x, ids, weights, self.gate_up_proj.matrices, self.down_proj.matrices, add)


class MoE(nn.Module):
    def __init__(self, c: ModelConfig, count: int, size: int, normalised: bool):
        super().__init__()
        self.k, self.normalised = c.raw["num_experts_per_tok"], normalised
        self.gate = Linear(c.hidden_size, count)
        gate_up, down = (c.hidden_size, 2 * size), (size, c.hidden_size)
        self.experts = Experts(Stacked(count, *gate_up), Stacked(count, *down))

    def forward(
        self,
        x: Tensor,
        *,
        norm: RMSNorm | None = None,
        add: Tensor | None = None,
        parts: bool = False,
    ) -> Tensor:
        """Of x, or of norm(x); the output, or that and `add`. It never has parts to add up."""
        del parts
        x = x if norm is None else norm(x)
        ids, weights = route(self.gate(x), self.k, self.normalised)
        return self.experts(x, ids, weights, add)

    def few(self, x: Tensor) -> bool:
        """As `Linear.few`."""
        return self.gate.few(x)


def fused(count: int, gate: str, up: str, down: str, block: str = "mlp") -> dict[str, tuple]:
    """Entries of `FUSED` for `count` experts, by the checkpoint's names of their matrices."""
    each = [f"{block}.experts.{e}" for e in range(count)]
    return {
        "mlp.gate": (f"{block}.gate",),
        "mlp.experts.gate_up_proj": tuple(f"{e}.{part}" for e in each for part in (gate, up)),
        "mlp.experts.down_proj": tuple(f"{e}.{down}" for e in each),
    }
