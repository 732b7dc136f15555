import torch

from pgolf.proof.probes import normalisation
from tests.eval.fakes import Average, Counting
from tests.proof.making import context_of, network_evaluation


class Fused(Counting):
    """An honest fused path: the counts are read for the target alone."""

    def score(self, inputs_BT, targets_BT, keep):
        return (self.counts_V / self.counts_V.sum())[targets_BT[:, -keep:]].log()

    def fork(self):
        copy = Fused(len(self.counts_V))
        copy.counts_V = self.counts_V.clone()
        return copy


class ScalarExpert(Counting):
    """The entropy 'expert': one constant for whatever token occurs (taxonomy 4)."""

    def log_probs(self, inputs_BT, keep):
        return torch.full((len(inputs_BT), keep, len(self.counts_V)), -1.5)

    def fork(self):
        return ScalarExpert(len(self.counts_V))


def test_network_passes_in_every_stratum():
    result = normalisation.probe(context_of(network_evaluation()), seconds=10)
    assert result.passed, result.message
    assert set(result.measured["strata"]) == {
        "cold start",
        "middle",
        "end",
        "document starts",
        "highest gain",
        "spread",
    }
    assert result.measured["positions_called_per_candidate"] == 0


def test_fused_score_is_called_once_per_candidate():
    result = normalisation.probe(context_of(network_evaluation(Fused(260))), seconds=10)
    assert result.passed, result.message
    assert result.measured["positions_called_per_candidate"] >= 8


def test_constant_expert_is_no_distribution():
    result = normalisation.probe(context_of(network_evaluation(ScalarExpert(260), mixer=Average())), seconds=10)
    assert not result.passed
    assert "sum to between 58.0" in result.message
