"""The baseline GPT is the published one: size, causality, capped logits, one path for all uses."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.arch.causality import assert_causal
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model


def test_record_size_has_the_published_parameter_count():
    arch = settings(compose(["size=record", "tokenizer=sp1024"]))["arch"]
    with torch.device("meta"):
        model = make(arch, vocab_size=1024, bos_id=1)
    assert sum(p.numel() for p in model.parameters()) == 17_059_912


def test_the_model_is_causal_by_perturbation_and_by_gradient():
    assert_causal(tiny_model())


def test_the_causality_check_finds_a_leak():
    model = tiny_model()
    randomise(model)
    honest = model.embed
    model.embed = lambda ids_BT, *told: honest(ids_BT) + honest(ids_BT).mean(1, keepdim=True)
    with pytest.raises(AssertionError):
        assert_causal(model)


def test_loss_is_the_cross_entropy_of_the_logits():
    model = tiny_model()
    randomise(model)
    x, y = ids(seed=1), ids(seed=2)
    expected = F.cross_entropy(model.logits(x).flatten(0, 1), y.flatten())
    torch.testing.assert_close(model.loss(x, y), expected)


def test_kept_logits_are_the_last_of_all_logits():
    model = tiny_model()
    randomise(model)
    torch.testing.assert_close(model.logits(ids(), keep=5), model.logits(ids())[:, -5:])


def test_logits_stay_below_the_cap():
    model = tiny_model("arch.logit_softcap=2.5")
    with torch.no_grad():
        model.embedding.mul_(1e3)
    assert model.logits(ids()).abs().max() <= 2.5


def test_every_block_is_a_no_op_at_the_start():
    model = tiny_model()
    with torch.no_grad():
        model.skip_weights.zero_()
    x = ids()
    embedded = F.embedding(x, model.embedding)
    from pgolf.arch.base import rms_norm

    torch.testing.assert_close(model.hidden(x), rms_norm(rms_norm(embedded)))


def test_parameters_are_partitioned_and_controls_are_kept():
    model = tiny_model()
    specs = model.param_specs()
    assert specs.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or "controls" in name or "skip" in name:
            assert specs[name].group == "scalar" and specs[name].storage == "keep_fp32"
        else:
            assert specs[name].storage in ("matrix", "embedding")


def test_an_untied_head_starts_at_zero_and_trains_in_its_own_group():
    model = tiny_model("arch.tie_embeddings=false")
    assert not model.head.weight.any()
    assert model.param_specs()["head.weight"].group == "head"


@pytest.mark.parametrize("word", ["arch.heads=3", "arch.kv_heads=3", "arch.width=51 arch.heads=17 arch.kv_heads=17"])
def test_impossible_dimensions_are_refused(word):
    with pytest.raises(ConfigError, match="arch"):
        tiny_model(*word.split())


def test_the_model_compiles_as_one_graph():
    assert_one_graph(tiny_model("arch.layers=2"))
