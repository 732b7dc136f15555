from pgolf.proof.probes import score_before_update
from tests.eval.fakes import Average, Counting
from tests.proof.making import context_of, network_evaluation


class LearnsWhilePredicting(Counting):
    """Adds what it sees in the inputs to its counts, in the middle of the chunk."""

    def log_probs(self, inputs_BT, keep):
        logp = super().log_probs(inputs_BT, keep)
        self.counts_V = self.counts_V + inputs_BT.flatten().bincount(minlength=len(self.counts_V))
        return logp

    def fork(self):
        copy = LearnsWhilePredicting(len(self.counts_V))
        copy.counts_V = self.counts_V.clone()
        return copy


def test_fixed_and_adaptive_experts_pass():
    fixed = score_before_update.probe(context_of(network_evaluation()), seconds=10)
    assert fixed.passed, fixed.message
    assert not fixed.measured["experts_learn"]
    adaptive = score_before_update.probe(context_of(network_evaluation(Counting(260), mixer=Average())), seconds=10)
    assert adaptive.passed, adaptive.message
    assert adaptive.measured["experts_learn"]
    assert adaptive.measured["mixer_learns"]


def test_state_that_changes_while_a_chunk_is_scored_is_caught():
    result = score_before_update.probe(context_of(network_evaluation(LearnsWhilePredicting(260))), seconds=10)
    assert not result.passed
    assert "changed its state" in result.message
