import pytest
import torch

from pgolf.core.results import ParamSpec
from pgolf.quant.errors import UnknownTensor
from pgolf.quant.none import NoQuantizer
from pgolf.quant.stored import dequantize_for

SPEC = ParamSpec("matrix", "matrix", "mlp")


def quantized():
    return NoQuantizer().quantize(
        {"up": torch.ones(2, 3), "down": torch.zeros(3, 2)}, {"up": SPEC, "down": SPEC}
    )


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
