import torch

from pgolf.eval.network import NetworkExpert
from pgolf.proof.cheats.wrapped import WrappedExpert
from pgolf.proof.probes import perturbation
from tests.proof.making import arch_node, context_of, network_evaluation, noisy_model


class BatchMaximum(WrappedExpert):
    """Sharpens by the largest probability met in the whole batch (taxonomy 9)."""

    def log_probs(self, inputs_BT, keep):
        logp_BKV = self.expert.log_probs(inputs_BT, keep)
        return torch.log_softmax(logp_BKV / logp_BKV.max().exp(), dim=-1)


def test_causal_network_is_bitwise_unchanged():
    result = perturbation.probe(context_of(network_evaluation()), seconds=20)
    assert result.passed, result.message
    assert result.measured["largest_probability_change"] == 0
    assert result.measured["largest_score_change_nats"] == 0
    assert set(result.measured["by_kind"]) == set(perturbation.KINDS)


def test_weight_normalised_by_a_batch_maximum_is_caught():
    network = NetworkExpert(noisy_model(arch_node(), 260, 1))
    result = perturbation.probe(context_of(network_evaluation(BatchMaximum(network))), seconds=20)
    assert not result.passed
    assert "changed by" in result.message


def test_too_little_time_still_looks_at_the_least():
    result = perturbation.probe(context_of(network_evaluation()), seconds=0)
    assert result.passed
    assert result.measured["replays"] == perturbation.LEAST_REPLAYS
