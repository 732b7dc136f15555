"""BigramHash reads the last two tokens only, trains both of its factors, and stops at documents if told to."""

import numpy as np
import pytest
import torch

from pgolf.arch.addon.bigram_hash import pair_rows
from pgolf.config.check import bind_problems
from pgolf.config.groups import group_of
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import BOS, VOCAB, ids, tiny_model, tiny_settings

WORD = "arch/addon=[bigram_hash]"
NODE = "arch.addons.bigram_hash"
OLD = (WORD, f"{NODE}.hash=add", f"{NODE}.scale=null", f"{NODE}.table_std=0.01")
FORMS = {"xor": (WORD,), "add": OLD, "no mask": (WORD, f"{NODE}.bos_mask=false")}


def part_of(model):
    return model.addons.parts["bigram_hash"]


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_it_is_causal(words):
    model = tiny_model(*words)
    part_of(model).scale = None
    part_of(model).specs.pop("scale", None)
    assert_causal(model)


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_properties_of_every_addon(words):
    assert_partitioned(tiny_model(*words))
    assert_finite_under_bf16(tiny_model(*words))


def test_it_compiles_as_one_graph():
    assert_one_graph(tiny_model(WORD, "arch.layers=1"), logits=True)


def test_the_published_hashes_are_those_of_the_formulas():
    tokens = [[5, 900, 31, 31]]
    rows = 1536
    expected = [rows - 1] + [((36313 * b) ^ (27191 * a)) % (rows - 1) for a, b in ((5, 900), (900, 31), (31, 31))]
    assert pair_rows(torch.tensor(tokens), rows, "xor", None).tolist() == [expected]
    expected = [5] + [(92821 * a + b) % rows for a, b in ((5, 900), (900, 31), (31, 31))]
    assert pair_rows(torch.tensor(tokens), rows, "add", None).tolist() == [expected]


@pytest.mark.parametrize(("hash_name", "largest"), [("xor", 59_138), ("add", 23_134)])
def test_the_hash_is_the_same_in_int32(hash_name, largest):
    tokens = np.array([largest - 1, largest, largest, 7], dtype=np.int32)
    with np.errstate(over="raise"):
        if hash_name == "xor":
            expected = ((np.int32(36313) * tokens[1:]) ^ (np.int32(27191) * tokens[:-1])) % np.int32(1535)
        else:
            expected = (np.int32(92821) * tokens[:-1] + tokens[1:]) % np.int32(1536)
    found = pair_rows(torch.from_numpy(tokens).long()[None], 1536, hash_name, None)[0, 1:]
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("hash_name", ["xor", "add"])
def test_a_row_depends_on_two_tokens_only(hash_name):
    a = ids(1, 12)
    b = a.clone()
    b[0, 4] = (b[0, 4] + 1) % VOCAB
    changed = pair_rows(a, 4096, hash_name, None) != pair_rows(b, 4096, hash_name, None)
    assert changed[0].nonzero()[:, 0].tolist() == [4, 5]


@pytest.mark.parametrize("hash_name", ["xor", "add"])
def test_packed_documents_get_the_rows_they_get_alone(hash_name):
    first, second = [BOS, 5, 6, 7], [BOS, 9, 5]
    packed = pair_rows(torch.tensor([first + second]), 64, hash_name, BOS)[0].tolist()
    alone = [pair_rows(torch.tensor([d]), 64, hash_name, BOS)[0].tolist() for d in (first, second)]
    assert packed == alone[0] + alone[1]
    open_ends = pair_rows(torch.tensor([first + second]), 64, hash_name, None)[0].tolist()
    assert open_ends[:4] + open_ends[5:] == packed[:4] + packed[5:] and open_ends[4] != packed[4]


def test_both_factors_move_although_one_starts_at_zero():
    model = tiny_model(WORD)
    part = part_of(model)
    assert not part.table.any() and part.projection.weight.any()
    before = {name: p.detach().clone() for name, p in part.named_parameters()}
    one_step(model)
    assert part.table.any()
    model.zero_grad()
    one_step(model, seed=1)
    assert part.projection.weight.grad.any() and part.scale.grad.any()
    for name, parameter in part.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_scale_zero_is_off_and_so_is_the_start():
    plain, model = tiny_model(), tiny_model(WORD)
    model.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(model.logits(ids()), plain.logits(ids()))
    with torch.no_grad():
        part_of(model).table.normal_()
        assert not torch.equal(model.logits(ids()), plain.logits(ids()))
        part_of(model).scale.zero_()
    assert torch.equal(model.logits(ids()), plain.logits(ids()))


def test_published_parameter_counts():
    assert added_at_record("bigram_hash", f"{NODE}.rows=1536", f"{NODE}.dim=128") == 262_145
    assert added_at_record("bigram_hash") == 2816 * 112 + 112 * 512 + 1
    old = (f"{NODE}.rows=2048", f"{NODE}.dim=128", f"{NODE}.hash=add", f"{NODE}.scale=null")
    assert added_at_record("bigram_hash", *old) == 2048 * 128 + 128 * 512


def test_groups_are_those_of_the_source():
    specs = tiny_model(WORD).param_specs()
    prefix = "addons.parts.bigram_hash."
    assert specs[prefix + "table"].group == specs[prefix + "table"].storage == "embedding"
    assert specs[prefix + "scale"].storage == "keep_fp32"


@pytest.mark.parametrize("group", ["matrix", "scalar"])
def test_the_projection_passes_quantization_in_either_group(group):
    model = tiny_model(WORD, f"{NODE}.projection_group={group}")
    spec = model.param_specs()["addons.parts.bigram_hash.projection.weight"]
    assert (spec.group, spec.storage) == (group, "keep_fp16")


def test_fewer_than_two_rows_are_refused():
    with pytest.raises(ConfigError, match="at least 2"):
        tiny_model(WORD, f"{NODE}.rows=1")
    node = tiny_settings(WORD, f"{NODE}.rows=1")["arch"]["addons"]["bigram_hash"]
    assert any("at least 2" in p for p in bind_problems(node, group_of("arch/addon"), NODE))
