import pytest
import torch
from kernel_cases import DEVICE, DTYPES, check, poisoned, randn

from nbllm.models.layers import LayerNorm, Linear, RMSNorm
from nbllm_kernels.skinny_linear import (
    ACTS,
    LARGE,
    MOST,
    NORMED,
    Norm,
    fits,
    skinny_linear,
    skinny_linear_ref,
)
from nbllm_kernels.skinny_tiles import RowsTile, RowTile

SIZES = [(1, 1), (63, 100), (37, 1000), (100, 63), (5, 2049), (300, 256)]


def norm_of(kind, size, dtype):
    if kind is None:
        return None
    return Norm(
        randn(size, dtype=dtype),
        randn(size, dtype=dtype) if kind == "layer" else None,
        1e-5,
        center=kind != "rms",
    )


def case(rows, size_out, size, dtype, *, kind=None, gate=False, bias=False, add=False):
    """(x, weight, bias), options."""
    count = size_out * (1 + gate)
    weight = (randn(count, size) * size**-0.5).to(dtype)
    of = randn(rows, size, dtype=dtype), weight, randn(count, dtype=dtype) if bias else None
    added = randn(rows, size_out, dtype=dtype) if add else None
    return of, {"norm": norm_of(kind, size, dtype), "gate": gate, "add": added}


def compare(of, options, **more):
    rows, size_out = len(of[0]), len(of[1]) // (1 + options["gate"])
    out = poisoned(rows, size_out, dtype=of[0].dtype)
    got = skinny_linear(*of, **options, **more, out=out)
    assert got is out
    more.pop("tile", None)
    check(got, skinny_linear_ref(*of, **options, **more))


@pytest.mark.parametrize("rows", [1, 2, 7, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_product(rows, size, dtype):
    compare(*case(rows, *size, dtype))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["rms", "layer", "layer without bias"])
@pytest.mark.parametrize("size", [(63, 100), (5, 2049)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm_before_and_sum_after(rows, kind, size, dtype):
    compare(*case(rows, *size, dtype, kind=kind, bias=True, add=True))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_activation(rows, act, gate, dtype):
    compare(*case(rows, 37, 100, dtype, gate=gate, bias=True, add=True), act=act)
    compare(*case(rows, 37, 300, dtype, kind="rms", gate=gate), act=act)


@pytest.mark.parametrize(
    "tile", [RowTile(1, 1, 1), RowTile(4, 2, 4), RowTile(2, 8, 8), RowsTile(16, 16, 2)], ids=str
)
def test_any_tile_gives_the_same(tile):
    compare(*case(1, 37, 1000, torch.float32, kind="layer", gate=True), act="silu", tile=tile)


@pytest.mark.parametrize("size", [(63, 100), (100, 2100)], ids=str)
def test_a_row_does_not_depend_on_its_company(size):
    (x, *of), options = case(8, *size, torch.float32, kind="rms")
    together = skinny_linear(x, *of, **options)
    for rows in (2, 3, 5, 8):
        assert torch.equal(skinny_linear(x[:rows].contiguous(), *of, **options), together[:rows])


def test_sum_in_place():
    of, options = case(3, 64, 100, torch.float32, add=True)
    want = skinny_linear_ref(*of, **options)
    assert skinny_linear(*of, **options, out=options["add"]) is options["add"]
    check(options["add"], want)


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize(
    "size",
    [(4096, 1024), (1024, 3072), (3072, 768), (4096, 14336), (6144, 4096), (50272, 768)],
    ids=str,
)
def test_sizes_of_models(rows, size):
    (x, weight, bias), options = case(rows, *size, torch.bfloat16, kind="rms", add=True)
    got, want = (f(x, weight, bias, **options).float() for f in (skinny_linear, skinny_linear_ref))
    assert (got - want).norm() < 3e-3 * want.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 5])
def test_launches_that_overlap_still_wait_for_each_other(rows):
    (x, *of), options = case(rows, 768, 768, torch.bfloat16, kind="layer", bias=True)
    (wide, *other), _ = case(rows, 768, 3072, torch.bfloat16)

    def chain(between):
        y = x
        for _ in range(30):
            y = skinny_linear(y, *of, **options)
            between()
            y = skinny_linear(torch.cat((y, wide[:, 768:]), 1), *other, add=y)
            between()
        return y

    want = chain(torch.cuda.synchronize)
    assert want.isfinite().all()
    for _ in range(5):
        assert torch.equal(chain(lambda: None), want)


def filled(part):
    """A module with random parameters on the device of the tests."""
    for name, p in part.named_parameters():
        size = p.shape[-1] ** -0.5 if p.ndim > 1 else 1.0
        part._parameters[name] = torch.nn.Parameter(randn(*p.shape) * size, requires_grad=False)
    return part


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("kind", [RMSNorm, LayerNorm])
@pytest.mark.parametrize("size", [100, NORMED + 1])
def test_a_layer_of_few_rows_is_that_of_many(kind, gate, size):
    layer, norm = filled(Linear(size, 74, bias=True)), filled(kind(size, 1e-5))
    x, add = randn(1, size), randn(1, 37 if gate else 74)
    assert layer.few(x)
    with torch.inference_mode():
        got = layer(x, norm=norm, act="silu", gate=gate, add=add.clone())
        layer.most = 0
        assert not layer.few(x)
        check(got, layer(x, norm=norm, act="silu", gate=gate, add=add))


def test_many_rows_are_another_products():
    weight = randn(10, 64)
    assert fits(randn(1, 64), weight)
    assert not fits(randn(2, 64), weight)  # float32 has no tensor cores that would do
    half = weight.half()
    assert [fits(randn(n, 64).half(), half) for n in (0, 1, MOST, MOST + 1)] == [
        *(False, True, True, False)
    ]
    assert not fits(randn(1, 64), weight, most=0)
    assert not fits(randn(1, 64), half)
    large = torch.empty(LARGE // 64 + 1, 64, dtype=torch.float16, device=DEVICE)
    assert fits(large[:1], large)
    assert not fits(large[:2], large)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"x is \[1, 3\] and weight \[4, 5\]"):
        skinny_linear(randn(1, 3), randn(4, 5))
    with pytest.raises(ValueError, match=r"x may have 16 rows"):
        skinny_linear(randn(17, 5), randn(4, 5))
    with pytest.raises(ValueError, match="weight must be contiguous"):
        skinny_linear(randn(1, 4), randn(4, 4).t())
