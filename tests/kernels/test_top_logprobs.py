import pytest
import torch
from kernel_cases import DEVICE, DTYPES, randn

from nbllm_kernels.top_logprobs import top_logprobs, top_logprobs_ref


def compare(logits, k):
    tokens = torch.randint(0, logits.shape[1], (len(logits),), device=DEVICE)
    got, want = top_logprobs(logits, k, tokens), top_logprobs_ref(logits, k, tokens)
    torch.testing.assert_close(got[0], want[0], atol=1e-4, rtol=1e-5)
    assert got[2].tolist() == want[2].tolist()
    return got[1], want[1]


@pytest.mark.parametrize("k", [1, 5, 32])
@pytest.mark.parametrize("vocabulary", [63, 1000, 9000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(vocabulary, k, dtype):
    got, want = compare(3 * randn(3, vocabulary, dtype=dtype), k)
    assert got.tolist() == want.tolist()  # ties, which bfloat16 has many of, by id


def test_one_token_and_masked_ones():
    got, want = compare(randn(3, 1), 1)
    assert got.tolist() == want.tolist() == [[0]] * 3
    logits = torch.full((2, 5000), -torch.inf, device=DEVICE)
    logits[:, 4500] = 1.0
    got, want = compare(logits, 4)
    assert got.tolist() == want.tolist() == [[4500, 0, 1, 2]] * 2


def test_many_go_to_torch():
    got, want = compare(randn(2, 100), 40)
    assert got.tolist() == want.tolist()


@pytest.mark.parametrize("k", [0, 101])
def test_impossible_k(k):
    with pytest.raises(ValueError, match=rf"k is {k}; it must be from 1 to 100"):
        top_logprobs(randn(1, 100), k, torch.zeros(1, dtype=torch.int64, device=DEVICE))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_real_vocabulary(dtype):
    got, want = compare((3 * randn(64, 151936)).to(dtype), 20)
    assert got.tolist() == want.tolist()
