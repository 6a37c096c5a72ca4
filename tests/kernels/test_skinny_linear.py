import pytest
import torch
from kernel_cases import DTYPES, check, poisoned, randn

from nbllm.models.layers import LayerNorm, Linear, RMSNorm
from nbllm_kernels._triton import in_gluon
from nbllm_kernels.layer_norm import add_layer_norm
from nbllm_kernels.rms_norm import add_rms_norm
from nbllm_kernels.skinny_linear import (
    ACTS,
    FEW,
    MOST,
    NORMED,
    Norm,
    choose,
    skinny_linear,
    skinny_linear_ref,
    takes_norm,
)
from nbllm_kernels.skinny_tiles import (
    LIMITS,
    ONE_ROW,
    ROWS,
    BlockTile,
    HopperTile,
    RowsTile,
    RowTile,
    hopper_tile,
    tile_for,
)

BLOCK = BlockTile(16, 16, 32, 2, 4)
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
    # whatever lies behind the rows of x must not be read
    x = poisoned(rows + 40, of[0].shape[1], dtype=of[0].dtype)[:rows].copy_(of[0])
    got = skinny_linear(x, *of[1:], **options, **more, out=out)
    assert got is out
    more.pop("tile", None)
    check(got, skinny_linear_ref(*of, **options, **more))


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 31])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_product(rows, size, dtype):
    tile = RowsTile(16, 1, 4) if rows > 8 else None
    compare(*case(rows, *size, dtype), tile=tile)


@pytest.mark.parametrize("rows", [1, 9, 33])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_product_of_blocks(rows, size, dtype):
    compare(*case(rows, *size, dtype, bias=True, add=True), tile=BLOCK)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_activation_of_blocks(act, gate, dtype):
    compare(*case(20, 37, 100, dtype, gate=gate, bias=True, add=True), act=act, tile=BLOCK)
    compare(*case(20, 37, 100, dtype, gate=gate), act=act, tile=BLOCK)


@pytest.mark.parametrize("size", [(37, 1000), (63, 100), (16, 128)], ids=str)
@pytest.mark.parametrize("splits", [2, 3, 8])
@pytest.mark.parametrize("norm", [add_rms_norm, add_layer_norm])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_parts_are_added_up_by_a_norm(size, splits, norm, dtype):
    of, _ = case(18, *size, dtype, bias=True)
    parts = skinny_linear(*of, tile=BLOCK._replace(splits=splits))
    assert parts.shape == (splits, 18, size[0])
    assert parts.dtype is torch.float32
    residual, weight = randn(18, size[0], dtype=dtype), randn(size[0], dtype=dtype)
    around = (
        (weight, randn(size[0], dtype=dtype), 1e-5) if norm is add_layer_norm else (weight, 1e-5)
    )
    want = skinny_linear_ref(of[0].float(), *(t.float() for t in of[1:]), add=residual.float())
    check(norm(parts, residual, *around)[1], want.to(dtype))
    check(norm(parts, residual, *around)[0], norm(want.to(dtype), None, *around)[0])


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
    "tile",
    [
        *(RowTile(1, 1, 1), RowTile(4, 2, 4), RowTile(2, 8, 8)),
        *(RowsTile(16, 1, 2), RowsTile(32, 4, 4), RowsTile(16, 8, 8)),
    ],
    ids=str,
)
def test_any_tile_gives_the_same(tile):
    compare(*case(1, 37, 1000, torch.float32, kind="layer", gate=True), act="silu", tile=tile)


@pytest.mark.parametrize(
    "tile", [BlockTile(32, 16, 64, 3, 4), BlockTile(64, 32, 16, 2, 8), BlockTile(16, 64, 32, 4, 4)]
)
def test_any_tile_of_blocks_gives_the_same(tile):
    compare(*case(40, 37, 200, torch.float32, gate=True, add=True), act="silu", tile=tile)


@pytest.mark.parametrize("shape", ONE_ROW, ids=str)
def test_shapes_of_models_have_tiles_for_every_number_of_rows(shape):
    tiles = [tile_for(limit, *shape) for limit in LIMITS]
    for tile, limit in zip(tiles, LIMITS, strict=True):
        assert tile is None or isinstance(tile, BlockTile) or (limit <= FEW and tile.rows % 16 == 0)
        assert not (shape[2] and getattr(tile, "splits", 1) > 1)
    assert ROWS.get(shape, tuple(tiles)) == tuple(tiles)
    assert isinstance(tile_for(1, *shape), RowTile)


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


WEIGHTS = [(4096, 1024), (1024, 3072), (3072, 768), (4096, 14336), (6144, 4096), (50272, 768)]


def error(got, want):
    return (got.float() - want.float()).norm() / want.float().norm()


# without those for which a product of any size is faster
SHAPES = [
    (rows, size)
    for rows in (1, 2, 8, 16, 32, 64, 100, 192, 256)
    for size in WEIGHTS
    if tile_for(rows, *size, gate=False)
]


@pytest.mark.gpu
@pytest.mark.parametrize(("rows", "size"), SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sizes_of_models(rows, size, dtype):
    (x, weight, bias), options = case(rows, *size, dtype, kind="rms", add=True)
    norm, add, tile = options["norm"], options["add"], choose(x, weight)
    want = skinny_linear_ref(x, weight, bias, **options)
    if not takes_norm(x, tile):
        x, options["norm"] = add_rms_norm(x, None, norm.weight, norm.eps)[0], None
    if isinstance(tile, BlockTile | HopperTile) and tile.splits > 1:
        got = add_rms_norm(skinny_linear(x, weight, bias), add, randn(size[0], dtype=dtype), 1e-5)[
            1
        ]
    else:
        got = skinny_linear(x, weight, bias, **options)
    assert error(got, want) < 6e-3


@pytest.fixture
def hopper():
    if not in_gluon(randn(1, 1, dtype=torch.bfloat16)):
        pytest.skip("needs a Hopper GPU")


@pytest.mark.gpu
@pytest.mark.parametrize("tile", [HopperTile(16, 5), HopperTile(32, 5), HopperTile(64, 4)], ids=str)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_tiles_of_hopper(hopper, tile, act, gate, dtype):
    for size in ((300, 2056), (512, 64)):
        for rows in (2, tile.block // 2 + 1, tile.block):
            of, options = case(rows, *size, dtype, gate=gate, bias=True, add=rows != 2)
            compare(of, options, act=act, tile=tile)


@pytest.mark.gpu
@pytest.mark.parametrize("splits", [2, 3, 8])
@pytest.mark.parametrize("size", [(300, 2056), (4096, 4096), (64, 200)], ids=str)
def test_parts_of_hopper(hopper, splits, size):
    """Some parts of a short sum are empty."""
    (x, weight, bias), _ = case(9, *size, torch.bfloat16, bias=True)
    got = skinny_linear(x, weight, bias, tile=HopperTile(16, 5, splits))
    assert got.shape == (splits, 9, size[0])
    assert error(got.sum(0), skinny_linear_ref(x, weight, bias)) < 6e-3


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [2, 16, 17, 32, 33, 64])
def test_hopper_tiles_that_wait_for_each_other(hopper, rows):
    """W is read before the launch before has ended, x is not."""
    mlp = [
        case(rows, 14336, 4096, torch.bfloat16, gate=True)[0],
        case(rows, 4096, 14336, torch.bfloat16)[0],
    ]
    x = y = z = mlp[0][0]
    for _ in range(6):
        y = skinny_linear(
            y, mlp[0][1], act="silu", gate=True, tile=hopper_tile(rows, 14336, 4096, True)
        )
        y = skinny_linear(y, mlp[1][1], add=x, tile=HopperTile(64, 4))
        z = skinny_linear_ref(z, mlp[0][1], act="silu", gate=True)
        z = skinny_linear_ref(z, mlp[1][1], add=x)
    assert error(y, z) < 2e-2


@pytest.mark.gpu
@pytest.mark.parametrize(
    "tile", [BlockTile(64, 32, 64, 4, 4), BlockTile(128, 64, 64, 3, 8)], ids=str
)
@pytest.mark.parametrize("rows", [32, 100])
def test_tiles_of_blocks_of_the_tensor_cores(tile, rows):
    (x, weight, _), _ = case(rows, 300, 1000, torch.bfloat16, gate=True)
    got, want = (f(x, weight, act="silu", gate=True) for f in (skinny_linear, skinny_linear_ref))
    assert error(got, want) < 6e-3
    got = skinny_linear(x, weight, act="silu", gate=True, tile=tile)
    assert error(got, want) < 6e-3


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_launches_that_overlap_still_wait_for_each_other(rows):
    (x, *of), options = case(rows, 768, 768, torch.bfloat16, kind="layer", bias=True)
    (wide, *other), _ = case(rows, 768, 3072, torch.bfloat16)
    norm, block = options.pop("norm"), BlockTile(64, 64, 64, 4, 4)
    few = rows <= FEW

    def chain(between):
        y = x
        for _ in range(30):
            if few:
                y = skinny_linear(y, *of, norm=norm)
            else:
                y = add_layer_norm(y, None, norm.weight, norm.bias, norm.eps)[0]
                y = skinny_linear(y, *of, tile=block)
            between()
            both = torch.cat((y, wide[:, 768:]), 1)
            if few:
                y = skinny_linear(both, *other, add=y)
            else:
                parts = skinny_linear(both, *other, tile=block._replace(splits=8))
                y = add_layer_norm(parts, y, norm.weight, norm.bias, norm.eps)[1]
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


@pytest.mark.gpu
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("rows", [2, 12, 50, 200])
def test_a_layer_of_some_rows_is_that_of_any_number(rows, gate):
    layer, norm = (
        filled(Linear(512, 1024, bias=True)).bfloat16(),
        filled(RMSNorm(512, 1e-5)).bfloat16(),
    )
    x, residual = randn(rows, 512, dtype=torch.bfloat16), randn(rows, 1024, dtype=torch.bfloat16)
    around, after = (
        {"norm": norm, "act": "silu", "gate": gate},
        filled(RMSNorm(1024, 1e-5)).bfloat16(),
    )
    with torch.inference_mode():
        got, parts = layer(x, **around), layer(x, parts=True)
        total = after.add(parts, residual)
        layer.most = 0
        assert error(got, layer(x, **around)) < 6e-3
        for mine, other in zip(total, after.add(layer(x), residual), strict=True):
            assert error(mine, other) < 6e-3


def test_what_is_chosen():
    weight = randn(10, 64)
    assert isinstance(choose(randn(1, 64), weight), RowTile)
    assert choose(randn(2, 64), weight) is None  # float32 has no tensor cores that would do
    half = weight.half()
    found = [type(choose(randn(n, 64).half(), half)) for n in (0, 1, 2, MOST, MOST + 1)]
    assert found == [type(None), RowTile, RowsTile, BlockTile, type(None)]
    assert choose(randn(1, 64), weight, most=0) is None
    assert choose(randn(5, 64).half(), half, most=4) is None
    assert choose(randn(1, 64), half) is None
    assert choose(randn(1, 64), randn(64, 10).t()) is None


def test_large_weights_on_a_hopper():
    found = [hopper_tile(n, 14336, 4096, True) for n in (1, 2, 16, 17, 33, 64, 65)]
    assert [t and t.block for t in found] == [None, 16, 16, 32, 64, 64, None]
    assert hopper_tile(8, 4096, 14336, False).splits == 8
    assert hopper_tile(17, 4096, 14336, False) is None
    assert hopper_tile(8, 3072, 1024, True) is None  # small


def test_norms_that_programs_make_for_themselves():
    assert takes_norm(randn(2, NORMED), RowsTile(16, 1, 4))
    assert not takes_norm(randn(1, NORMED + 1), RowTile(1, 1, 1))
    assert not takes_norm(randn(2, 64), BLOCK)


def test_no_rows():
    assert skinny_linear(randn(0, 5), randn(4, 5)).shape == (0, 4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"x is \[1, 3\] and weight \[4, 5\]"):
        skinny_linear(randn(1, 3), randn(4, 5))
    with pytest.raises(ValueError, match=r"at most 32 rows"):
        skinny_linear(randn(33, 5), randn(4, 5), tile=RowsTile(16, 1, 4))
    with pytest.raises(ValueError, match=r"at most 256 rows"):
        skinny_linear(randn(257, 5), randn(4, 5))
    with pytest.raises(ValueError, match="weight must be contiguous"):
        skinny_linear(randn(1, 4), randn(4, 4).t())
    norm = Norm(randn(5), None, 1e-5, center=False)
    with pytest.raises(ValueError, match="leaves the norm to another launch"):
        skinny_linear(randn(9, 5), randn(4, 5), norm=norm, tile=BLOCK)
    with pytest.raises(ValueError, match="it can only have a bias"):
        skinny_linear(randn(9, 5), randn(4, 5), act="relu", tile=BLOCK._replace(splits=2))
