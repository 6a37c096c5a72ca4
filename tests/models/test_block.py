from copy import deepcopy

import pytest
from torch import nn

from nbllm.models.layers import Block, Linear


class Two(Block):
    def __init__(self):
        super().__init__()
        self.one, self.two = Linear(2, 3), Linear(3, 2)


def test_parts_are_what_torch_has():
    block = Two()
    assert block.__dict__["one"] is block._modules["one"]
    block.one = other = Linear(4, 4)
    assert block.one is other is block._modules["one"]
    assert dict(block.named_modules())["one"] is other
    twin = deepcopy(block)
    assert twin.one is twin._modules["one"] is not other


def test_a_part_that_is_gone_is_gone():
    block = Two()
    block.one = None
    assert block.one is None
    del block.two
    with pytest.raises(AttributeError, match="two"):
        block.two  # noqa: B018
    assert [name for name, _ in block.named_children()] == []
    assert isinstance(Two().two, nn.Module)
