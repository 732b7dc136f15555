"""The head starts at its published weights, masks what it cannot use, and teaches head and trunk in training."""

import pytest
import torch

from pgolf.arch.addon.count_provider import preceding_counts, witten_bell
from pgolf.arch.addon.routing_head import logits_and_gates, router_of
from pgolf.core.errors import ConfigError
from tests.arch.addon.checks import (
    added_at_record,
    assert_finite_under_bf16,
    assert_partitioned,
)
from tests.arch.causality import assert_causal, one_step
from tests.arch.one_graph import assert_one_graph
from tests.helpers import ids, randomise, tiny_model

WORD = "arch/addon=[routing_head]"
NODE = "arch.addons.routing_head"


def test_it_is_causal():
    assert_causal(tiny_model(WORD))
    model = tiny_model(WORD)
    randomise(model)
    first = ids()
    second = first.clone()
    second[:, 11:] = (second[:, 11:] * 7 + 3) % 90 + 2
    gates = [logits_and_gates(model, tokens)[1] for tokens in (first, second)]
    torch.testing.assert_close(gates[0][:, :11], gates[1][:, :11])
    assert not torch.equal(gates[0][:, 11:], gates[1][:, 11:])


def test_properties_of_every_addon():
    assert_partitioned(tiny_model(WORD))
    assert_finite_under_bf16(tiny_model(WORD))


def test_it_compiles_as_one_graph():
    assert_one_graph(tiny_model(WORD, f"{NODE}.orders=[2,3,4]", "arch.layers=1"), logits=True)


def test_twelve_outputs_start_with_the_published_share_of_the_network():
    router = router_of(tiny_model(WORD))
    gates = router.gate_logits(torch.randn(2, 5, 32))
    assert gates.shape == (2, 5, 12)
    weights = router.weights(gates, torch.ones(2, 5, 11, dtype=torch.bool))
    torch.testing.assert_close(weights[..., 0], torch.full((2, 5), 0.432), rtol=0, atol=5e-4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5))


def test_unseen_orders_get_nothing_and_the_network_keeps_its_floor():
    router = router_of(tiny_model(WORD))
    seen = torch.arange(11) < 3
    gates = torch.randn(4, 12) * 50
    weights = router.weights(gates, seen.expand(4, 11))
    assert not weights[:, 4:].any() and (weights[:, 0] >= 0.05).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(4))
    alone = router.weights(gates, torch.zeros(4, 11, dtype=torch.bool))
    torch.testing.assert_close(alone[:, 0], torch.ones(4))


def test_the_orders_alone_give_the_width():
    router = router_of(tiny_model(WORD, f"{NODE}.orders=[2,3,4,5,6,7]"))
    assert router.weight.shape == (7, 32)
    with pytest.raises(ConfigError, match="7 gates cannot weigh the network and 11 orders"):
        router.weights(torch.zeros(1, 7), torch.ones(1, 11, dtype=torch.bool))


def test_training_adds_the_mixtures_loss_and_evaluation_does_not():
    model, plain = tiny_model(WORD, f"{NODE}.orders=[2,3]"), tiny_model()
    randomise(plain)
    model.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        router_of(model).weight.normal_()
    tokens = ids(2, 25, vocab_size=6)
    x, y = tokens[:, :-1], tokens[:, 1:].contiguous()
    plain_loss = plain.eval().loss(x, y)
    torch.testing.assert_close(model.eval().loss(x, y), plain_loss)
    logits, gates = logits_and_gates(model, x)
    neural = logits.softmax(-1).gather(-1, y[..., None])[..., 0]
    orders, seen = witten_bell(neural, preceding_counts(x, y, 3), (2, 3))
    assert seen.any() and not seen.all()
    weights = router_of(model).weights(gates, seen)
    mixed = weights[..., 0] * neural + (weights[..., 1:] * orders).sum(-1)
    torch.testing.assert_close(model.train().loss(x, y), plain_loss - 0.1 * mixed.log().mean())


def test_the_auxiliary_loss_reaches_head_and_trunk():
    model = tiny_model(WORD)
    one_step(model)
    model.zero_grad()
    tokens = ids(2, 25, vocab_size=6)
    x, y = tokens[:, :-1], tokens[:, 1:].contiguous()
    hidden, context = model.trunk(x, y)
    context.head = (model.output_table, model.softcap)
    router_of(model)(hidden, context)
    (auxiliary,) = context.auxiliary
    auxiliary.backward()
    router = router_of(model)
    assert router.weight.grad.any() and router.bias.grad.any()
    assert model.layers[0].mixer.q.weight.grad.any() and model.embedding.grad.any()


def test_gates_are_fp32_under_autocast():
    model = tiny_model(WORD)
    with torch.autocast("cpu", torch.bfloat16):
        logits, gates = logits_and_gates(model, ids(), keep=5)
    assert logits.dtype == gates.dtype == torch.float32 and gates.shape == (2, 5, 12)


def test_published_parameter_counts_and_groups():
    assert added_at_record("routing_head") == 6_156
    assert added_at_record("routing_head", f"{NODE}.orders=[2,3,4,5,6,7]") == 7 * 513
    for name, spec in tiny_model(WORD).param_specs().items():
        if "routing_head" in name:
            assert (spec.group, spec.storage) == ("scalar", "keep_fp32")


@pytest.mark.parametrize("orders", ["[]", "[1,2]", "[3,2]", "[2,2]"])
def test_impossible_orders_are_refused(orders):
    with pytest.raises(ConfigError, match="rising list of orders"):
        tiny_model(WORD, f"{NODE}.orders={orders}")


def test_a_model_without_a_head_has_no_gates():
    with pytest.raises(ConfigError, match="no routing_head"):
        logits_and_gates(tiny_model(), ids())
