import torch
from kernel_cases import DEVICE, ints

from nbllm_kernels.hand_over import hand_over


def test_turns_come_round():
    pinned = DEVICE == "cuda"
    ring = torch.full((3, 3000), -1, dtype=torch.int32, pin_memory=pinned)
    turn, rows = ints([0], torch.int32), ints([4, 9], torch.int32)
    for i, n in enumerate((1, 3000, 1500, 7, 2)):
        out = torch.arange(n, dtype=torch.int32, device=DEVICE) + 10 * i
        hand_over(out, ring, turn, rows, 9)
        hand_over(-out, ring, turn, rows.flip(0), 9)
        if pinned:
            torch.cuda.synchronize()
        assert ring[i % 3, :n].tolist() == out.tolist()
        assert turn.tolist() == [i + 1]
    assert ring[2, 1500:].eq(-1).all()
    assert ring[0, 7:].eq(-1).all()
    assert ring[1, 2:].tolist() == list(range(12, 3010))
