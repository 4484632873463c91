"""The rule on precision, shapes and sizes: what is taken, what is promoted, what is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from icl_lib import _tensor_checks as checks
from icl_lib.layers.linear import linear_attention, multi_head_linear_attention
from icl_lib.layers.mesa import mesa_attention, recursive_mesa
from icl_lib.layers.softmax import softmax_attention
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

F32, F64 = torch.float32, torch.float64
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
HALVES = (torch.float16, torch.bfloat16)


class TestPrecision:
    @pytest.mark.parametrize("dtype", [F32, F64])
    def test_real_tensors_come_back_as_they_are(self, dtype):
        given = torch.ones(2, dtype=dtype, requires_grad=True), torch.ones(3, dtype=dtype)
        back = checks.real_tensors(xs=given[0], ys=given[1])
        assert back[0] is given[0] and back[1] is given[1]

    @pytest.mark.parametrize("dtype", INTEGERS)
    @pytest.mark.parametrize("beside", [F32, F64])
    def test_integers_take_the_dtype_beside_them(self, dtype, beside):
        """Wherever they stand."""
        whole, real = torch.tensor([1, 2], dtype=dtype), torch.ones(1, dtype=beside)
        for given in ({"xs": whole, "ys": real}, {"ys": real, "xs": whole}):
            back = dict(zip(given, checks.real_tensors(**given), strict=True))
            assert back["xs"].dtype == beside and back["xs"].tolist() == [1.0, 2.0]
            assert back["ys"] is real

    @pytest.mark.parametrize("default", [F32, F64])
    def test_integers_alone_take_the_default_dtype(self, default):
        torch.set_default_dtype(default)
        try:
            (back,) = checks.real_tensors(xs=torch.tensor([1, 2]))
        finally:
            torch.set_default_dtype(F32)
        assert back.dtype == default and back.tolist() == [1.0, 2.0]

    @pytest.mark.parametrize("dtype", [*HALVES, torch.complex64, torch.bool])
    def test_other_dtypes_are_refused_alone_and_beside_others(self, dtype):
        odd, message = torch.ones(2).to(dtype), f"xs must be float32, float64 or .*got {dtype}"
        for given in ({"xs": odd}, {"xs": odd, "ys": odd}, {"ys": torch.ones(2), "xs": odd}):
            with pytest.raises(ValueError, match=message):
                checks.real_tensors(**given)

    def test_two_precisions(self):
        with pytest.raises(ValueError, match=r"ys must have the dtype of xs, torch.float32, got"):
            checks.real_tensors(xs=torch.ones(2), ys=torch.ones(2, dtype=F64))

    def test_two_devices(self):
        elsewhere = torch.ones(2, device="meta")
        with pytest.raises(ValueError, match="ys must be on the device of xs, cpu, got meta"):
            checks.real_tensors(xs=torch.ones(2), ys=elsewhere)
        with pytest.raises(ValueError, match="ys must be on the device of xs, cpu, got meta"):
            checks.real_tensors(xs=torch.tensor([1]), ys=torch.ones(2, device="meta").long())

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "None"),
            ([1.0], r"\[1.0\]"),
            (2.0, "2.0"),
            (np.ones((2, 3)), r"ndarray of shape \(2, 3\) and dtype float64"),
        ],
    )
    def test_no_tensor(self, value, text):
        with pytest.raises(ValueError, match=f"xs must be a torch.Tensor, got {text}"):
            checks.real_tensors(xs=value)

    def test_sparse(self):
        with pytest.raises(ValueError, match="xs must be a dense tensor, got the layout"):
            checks.real_tensors(xs=torch.eye(2).to_sparse())

    @pytest.mark.parametrize("entry", [math.nan, math.inf, -math.inf])
    def test_finite_tensors(self, entry):
        good = torch.ones(3)
        assert checks.finite_tensors(a=good) == (good,)
        with pytest.raises(ValueError, match="b must be finite, got NaN or infinite entries"):
            checks.finite_tensors(a=good, b=torch.tensor([1.0, entry]))


def integer_sequences(*shape):
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(0))


LAYERS = {
    "linear": lambda q, k, v: linear_attention(q, k, v, causal=True),
    "softmax": lambda q, k, v: softmax_attention(q, k, v, causal=True),
    "mesa": lambda q, k, v: mesa_attention(q, k, v, 1.0),
    "recursive mesa": lambda q, k, v: recursive_mesa(q, k, v, 1.0),
    "heads": lambda q, k, v: multi_head_linear_attention(torch.stack([q, k, q], -3)[None]),
    "sequence model": lambda q, k, v: Transformer(
        TransformerConfig.constructed(("mesa", "linear"), n=3), torch.Generator().manual_seed(0)
    )(q),
    "raw model": lambda q, k, v: Transformer(
        TransformerConfig.elements(("softmax", "mesa"), n=3, mlp=4),
        torch.Generator().manual_seed(0),
    )(q),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


class TestLayers:
    @every_layer
    def test_integers_give_the_float32_result(self, layer):
        """`mesa_attention` returned zeros for them."""
        inputs = [integer_sequences(2, 6, d) for d in (3, 3, 2)]
        got, expected = layer(*inputs), layer(*(part.float() for part in inputs))
        assert got.dtype == F32 and torch.equal(got, expected)
        assert bool((got != 0).any())

    @every_layer
    @pytest.mark.parametrize("dtype", [*HALVES, torch.complex64, torch.bool])
    def test_other_dtypes_are_named(self, layer, dtype):
        inputs = [integer_sequences(2, 6, d).to(dtype) for d in (3, 3, 2)]
        message = f"(queries|projections|states) must be float32, float64 .*, got {dtype}"
        with pytest.raises(ValueError, match=message):
            layer(*inputs)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 5, 3), ("B", "T", 3)),
        ((3,), ("n",)),
        ((4, 4), ("...", "n", "n")),
        ((2, 1, 4, 4), ("...", "n", "n")),
        ((), ()),
    ],
)
def test_shapes_that_fit(shape, axes):
    checks.check_shape("x", torch.ones(shape), *axes)


@pytest.mark.parametrize(
    ("shape", "axes", "text"),
    [
        ((2, 5, 4), ("B", "T", 3), "(B, T, 3), got (2, 5, 4)"),
        ((5, 3), ("B", "T", 3), "(B, T, 3), got (5, 3)"),
        ((1, 2, 5, 3), ("B", "T", 3), "(B, T, 3), got (1, 2, 5, 3)"),
        ((4, 3), ("...", "n", "n"), "(..., n, n), got (4, 3)"),
        ((4,), ("...", "n", "n"), "(..., n, n), got (4,)"),
        ((2,), (3,), "(3,), got (2,)"),
        ((0, 3), ("T", 3), "(T, 3), no axis empty, got (0, 3)"),
        ((0, 2, 3), ("...", "T", 3), "(..., T, 3), no axis empty, got (0, 2, 3)"),
        ((2,), (), "(), got (2,)"),
    ],
)
def test_shapes_that_do_not_fit(shape, axes, text):
    with pytest.raises(ValueError, match=re.escape(f"x must have shape {text}")):
        checks.check_shape("x", torch.ones(shape), *axes)


def test_empty_axes_where_they_are_allowed():
    checks.check_shape("x", torch.ones(0, 3), "P", 3, empty=True)
    with pytest.raises(ValueError, match=r"x must have shape \(P, 3\), got \(0, 2\)"):
        checks.check_shape("x", torch.ones(0, 2), "P", 3, empty=True)


HUGE = 10**400
BAD = [
    (lambda: checks.size("n", 0), "n must be an integer of at least 1, got 0"),
    (lambda: checks.size("n", True), "n must be an integer of at least 1, got True"),
    (lambda: checks.size("n", 2**31), "n must be an integer of at most 2147483647, got"),
    (lambda: checks.seed("s", -1), "s must be an integer of at least 0, got -1"),
    (lambda: checks.between("i", 0, 1, 3), "i must be an integer between 1 and 3, got 0"),
    (lambda: checks.between("i", 4, 1, 3), "i must be an integer between 1 and 3, got 4"),
    (lambda: checks.between("i", 2.0, 1, 3), "i must be an integer between 1 and 3, got 2.0"),
    (lambda: checks.between("i", True, 1, 3), "i must be an integer between 1 and 3, got True"),
    (lambda: checks.between("i", HUGE, 1, 3), "i must .*, got an integer of 1329 bits"),
    (lambda: checks.positive_scale("c", 0.0), "c must be above 0, got 0.0"),
    (lambda: checks.positive_scale("c", 1e-19), "c must be between 1e-18 and 1e"),
    (lambda: checks.positive_scale("c", 1e19), "c must be between 1e-18 and 1e"),
    (lambda: checks.positive_scale("c", math.inf), "c must be a finite number, got inf"),
    (lambda: checks.nonnegative_scale("c", -1.0), "c must be at least 0, got -1.0"),
    (lambda: checks.nonnegative_scale("c", 1e-300), "c must be between 1e-18 and 1e"),
    (lambda: checks.nonnegative_scale("c", HUGE), "c must .*, got an integer of 1329 bits"),
    (lambda: checks.flag("f", 1), "f must be True or False, got 1"),
    (lambda: checks.one_of("k", "c", ("a", "b")), r"k must be one of \('a', 'b'\), got 'c'"),
    (lambda: checks.one_of("k", ["a"], ("a", "b")), r"k must be one of .*, got \['a'\]"),
    (lambda: checks.instance("m", 3, torch.nn.Module), "m must be a Module, got 3"),
    (lambda: checks.real_dtype(torch.float16), "dtype must be torch.float32 or .*float16"),
    (lambda: checks.real_dtype(None), "dtype must be torch.float32 or .*, got None"),
    (lambda: checks.check_generator(None), "generator must be a torch.Generator, got None"),
    (lambda: checks.check_generator(3, optional=True), "generator must be .*, got 3"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_parameters(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_good_parameters():
    assert checks.size("n", np.int64(2**31 - 1)) == 2**31 - 1
    assert checks.seed("s", 2**63 - 1) == 2**63 - 1
    assert [checks.between("i", i, 1, 3) for i in (1, 2, 3)] == [1, 2, 3]
    assert checks.nonnegative_scale("c", 0) == 0.0 and checks.positive_scale("c", 1e18) == 1e18
    assert checks.flag("f", False) is False and checks.one_of("k", "a", ("a", "b")) == "a"
    assert checks.check_generator(None, optional=True) is None
    assert len(checks.described("x" * 500)) < 100
