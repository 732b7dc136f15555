import pytest
import torch

from pgolf.core.results import ParamSpec
from pgolf.quant.errors import ConflictingAlias, UnknownTensor
from pgolf.quant.none import NoQuantizer

SPEC = ParamSpec("matrix", "matrix", "mlp")


def quantize(state, specs, aliases=None):
    return NoQuantizer().quantize(state, specs, aliases)


def test_tensors_that_share_memory_are_stored_once():
    w = torch.randn(4, 4)
    quantized = quantize({"embedding": w, "head": w}, {"embedding": SPEC})
    assert [t.name for t in quantized.tensors] == ["embedding"]
    assert quantized.aliases == {"head": "embedding"}
    back = NoQuantizer().dequantize(quantized)
    assert back["head"] is back["embedding"]


def test_a_tied_module_is_stored_once():
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight = first.weight
    model = torch.nn.ModuleDict({"b": first, "a": second})
    quantized = quantize(model.state_dict(), dict.fromkeys(("a.weight", "b.weight", "a.bias", "b.bias"), SPEC))
    assert quantized.aliases == {"b.weight": "a.weight"}


def test_a_view_of_other_rows_is_not_an_alias():
    bank = torch.randn(6, 4)
    quantized = quantize({"a": bank[:3], "b": bank[3:], "c": bank}, {"a": SPEC, "b": SPEC, "c": SPEC})
    assert not quantized.aliases


def test_a_transposed_view_of_one_memory_is_not_an_alias():
    w = torch.randn(4, 4)
    assert not quantize({"a": w, "b": w.T}, {"a": SPEC, "b": SPEC}).aliases


def test_empty_tensors_are_not_aliases_of_each_other():
    assert not quantize({"a": torch.zeros(0, 2), "b": torch.zeros(0, 2)}, {"a": SPEC, "b": SPEC}).aliases


def test_declared_alias_needs_neither_weights_nor_policy():
    quantized = quantize({"a": torch.ones(2)}, {"a": SPEC}, {"b": "a", "c": "b"})
    assert quantized.aliases == {"b": "a", "c": "a"}


def test_declared_alias_with_equal_copy_is_stored_once():
    w = torch.randn(3)
    assert len(quantize({"a": w, "b": w.clone()}, {"a": SPEC, "b": SPEC}, {"b": "a"}).tensors) == 1


def test_declared_and_shared_aliases_meet_in_one_owner():
    w = torch.randn(3)
    quantized = quantize({"a": w, "b": w, "c": w.clone()}, dict.fromkeys("abc", SPEC), {"a": "c"})
    assert len(quantized.tensors) == 1
    assert set(quantized.aliases.values()) == {quantized.tensors[0].name}


@pytest.mark.parametrize(("other", "reason"), [(torch.zeros(2), "values differ"), (torch.ones(3), "shapes")])
def test_conflicting_alias_is_refused(other, reason):
    with pytest.raises(ConflictingAlias, match=reason):
        quantize({"a": torch.ones(2), "b": other}, {"a": SPEC, "b": SPEC}, {"b": "a"})


def test_alias_with_another_storage_role_is_refused():
    w = torch.randn(3)
    with pytest.raises(ConflictingAlias, match="storage roles"):
        quantize({"a": w, "b": w}, {"a": SPEC, "b": ParamSpec("scalar", "keep_fp32", "x")})


def test_circular_and_dangling_aliases_are_refused():
    with pytest.raises(ConflictingAlias, match="circle"):
        quantize({"a": torch.ones(2)}, {"a": SPEC}, {"b": "c", "c": "b"})
    with pytest.raises(UnknownTensor, match="nowhere"):
        quantize({"a": torch.ones(2)}, {"a": SPEC}, {"b": "nowhere"})
