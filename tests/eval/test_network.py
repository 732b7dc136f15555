import numpy as np
import pytest
import torch

from pgolf.arch.addon.routing_head import logits_and_gates
from pgolf.core.prediction import Batch, Span
from pgolf.eval.network import FixedNetwork, widths_of
from tests.eval.fakes import Bigram
from tests.helpers import ids, randomise, tiny_model


def batch_of(inputs_BT, keep):
    time = inputs_BT.shape[1]
    return Batch(tuple(Span(lane, 0, time - keep, time) for lane in range(len(inputs_BT))), inputs_BT, keep)


def test_log_probs_are_normalised_float32_of_the_kept_positions():
    inputs_BT = torch.randint(7, (2, 5))
    network = FixedNetwork(Bigram(7))
    logp_BKV = network.log_probs(batch_of(inputs_BT, 3)).logp_BKV
    assert logp_BKV.shape == (2, 3, 7)
    assert logp_BKV.dtype == torch.float32
    torch.testing.assert_close(logp_BKV.exp().sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(logp_BKV, network.model.table[inputs_BT[:, 2:]].log_softmax(-1))


def test_the_models_mode_is_put_back():
    model = Bigram(7).train()
    FixedNetwork(model).log_probs(batch_of(torch.randint(7, (1, 5)), 1))
    assert model.training


def test_rows_are_made_out_of_training():
    class Dropping(Bigram):
        def logits(self, ids_BT, keep=None):
            return torch.nn.functional.dropout(super().logits(ids_BT, keep), 0.5, self.training)

    batch = batch_of(torch.randint(7, (2, 5)), 5)
    found = FixedNetwork(Dropping(7).train()).log_probs(batch).logp_BKV
    assert torch.equal(found, FixedNetwork(Bigram(7)).log_probs(batch).logp_BKV)


def test_rows_are_fp32_whatever_autocast_is_on():
    class Multiplying(Bigram):
        def logits(self, ids_BT, keep=None):
            return super().logits(ids_BT, keep) @ torch.eye(7)

    batch, network = batch_of(torch.randint(7, (2, 5)), 5), FixedNetwork(Multiplying(7))
    plain = network.log_probs(batch).logp_BKV
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network.log_probs(batch).logp_BKV, plain)


def test_signals_are_made_where_they_are_asked_for():
    network, batch = FixedNetwork(Bigram(7)), batch_of(torch.randint(7, (2, 5)), 3)
    assert network.log_probs(batch).signals == {}
    assert tuple(network.log_probs(batch, ["largest"]).signals) == ("largest",)
    rows = network.log_probs(batch, network.offers)
    p_BKV = rows.logp_BKV.double().exp().numpy()
    np.testing.assert_allclose(rows.signals["entropy"], -(p_BKV * np.log(p_BKV)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(rows.signals["largest"], p_BKV.max(-1), rtol=1e-6)
    assert all(value.dtype == torch.float32 and value.shape == (2, 3) for value in rows.signals.values())
    with pytest.raises(KeyError):
        network.log_probs(batch, ["mood"])


@pytest.mark.parametrize("preset", ["baseline", "pr1204", "mamba_hybrid"])
def test_vectors_come_from_the_pass_that_makes_the_rows_and_change_none(preset):
    model = tiny_model(f"arch={preset}", "arch/addon=[routing_head]").eval()
    randomise(model)
    seen = []
    visit = [visit for visit in model.route.visits if model.block(visit).mlp is not None][-1]
    handle = model.block(visit).mlp.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network, batch = FixedNetwork(model), batch_of(ids(2, 24), 5)
    plain = network.log_probs(batch).logp_BKV
    seen.clear()
    rows = network.log_probs(batch, ["gates", "mlp_in"])
    handle.remove()
    assert torch.equal(rows.logp_BKV, plain) and network.offers == ("entropy", "largest", "mlp_in", "gates")
    assert torch.equal(rows.signals["mlp_in"], seen[-1][:, -5:])
    torch.testing.assert_close(rows.signals["gates"], logits_and_gates(model, batch.inputs_BT, 5)[1])
    assert {name: value.shape[-1] for name, value in rows.signals.items()} == widths_of(model)


def test_a_fixed_network_does_not_learn():
    network, batch = FixedNetwork(Bigram(7)), batch_of(torch.randint(7, (2, 5)), 3)
    before = network.log_probs(batch).logp_BKV
    network.observe(batch, torch.randint(7, (2, 3)))
    assert torch.equal(network.log_probs(batch).logp_BKV, before)
    assert (network.learns, network.cadence) == (False, None)


def test_a_fork_has_its_own_weights_and_is_out_of_training():
    network = FixedNetwork(Bigram(7).train())
    fork = network.fork()
    assert not fork.model.training and network.model.training
    with torch.no_grad():
        fork.model.table.zero_()
    assert network.model.table.abs().sum() > 0
