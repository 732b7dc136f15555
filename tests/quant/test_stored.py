import numpy as np
import pytest
import torch

from pgolf.core.results import ParamSpec, QuantizedState
from pgolf.quant.errors import UnknownTensor
from pgolf.quant.none import NoQuantizer
from pgolf.quant.schemes import SCHEMES
from pgolf.quant.stored import dequantize, dequantize_for, low_rank
from tests.quant.samples import sample

SPEC = ParamSpec("matrix", "matrix", "mlp")


def quantized():
    return NoQuantizer().quantize({"up": torch.ones(2, 3), "down": torch.zeros(3, 2)}, {"up": SPEC, "down": SPEC})


def test_matching_model_gets_all_its_weights():
    expected = {"up": torch.empty(2, 3), "down": torch.empty(3, 2)}
    assert set(dequantize_for(quantized(), expected)) == {"up", "down"}


def test_stored_tensor_absent_from_the_model_is_named():
    with pytest.raises(UnknownTensor, match=r"'down'.*not in the model"):
        dequantize_for(quantized(), {"up": torch.empty(2, 3)})


def test_model_tensor_absent_from_the_artifact_is_named():
    expected = {"up": torch.empty(2, 3), "down": torch.empty(3, 2), "downs": torch.empty(1)}
    with pytest.raises(UnknownTensor, match=r"'downs'.*not in the artifact.*Did you mean 'down'"):
        dequantize_for(quantized(), expected)


def test_other_shape_is_named():
    with pytest.raises(UnknownTensor, match=r"'up'.*\[2, 3\].*\[3, 3\]"):
        dequantize_for(quantized(), {"up": torch.empty(3, 3), "down": torch.empty(3, 2)})


def corrected():
    left, right = sample("up.lqer_left", "asym", (4, 2)), sample("up.lqer_right", "half_rows", (2, 6))
    tensors = (sample("up", "grid", (4, 6)), left, right)
    return QuantizedState(tensors, {"tied": "up"}, {"up": (left.name, right.name)})


def test_a_corrected_matrix_is_its_values_plus_its_factors_product():
    parts = {t.name: SCHEMES[t.scheme].decode(t).double() for t in corrected().tensors}
    wanted = parts["up"] + parts["up.lqer_left"] @ parts["up.lqer_right"]
    torch.testing.assert_close(dequantize(corrected())["up"].double(), wanted, rtol=0, atol=1e-7)


def test_an_alias_of_a_corrected_matrix_is_corrected_too():
    weights = dequantize(corrected())
    assert weights["tied"] is weights["up"]


def test_factors_are_no_weights_of_the_model():
    expected = {"up": torch.empty(4, 6), "tied": torch.empty(4, 6)}
    assert set(dequantize_for(corrected(), expected)) == {"up", "tied"}
    with pytest.raises(UnknownTensor, match=r"'up\.lqer_left'.*not in the artifact"):
        dequantize_for(corrected(), expected | {"up.lqer_left": torch.empty(4, 2)})


def test_the_product_is_summed_in_one_order_whatever_the_threads():
    """Bit for bit equal to plain float32 sums, one rank after another."""
    generator = np.random.default_rng(0)
    left, right = (generator.standard_normal(s).astype(np.float32) for s in ((33, 7), (7, 50)))
    wanted = np.zeros((33, 50), np.float32)
    for rank in range(7):
        wanted = wanted + left[:, rank, None] * right[rank]
    assert np.array_equal(low_rank(torch.from_numpy(left), torch.from_numpy(right)).numpy(), wanted)
