import numpy as np

from pgolf.proof.published import leave_one_out
from tests.proof.making import network_evaluation, pretend_sealed, stream_of
from tests.proof.published.refusal import judged


def test_it_claims_less_than_the_network_and_is_refused_by_the_audit_alone():
    """Though no token is predicted by itself, and every row sums to one."""
    evaluation = network_evaluation()
    claimed, failed, (message, _) = judged(leave_one_out.apply(evaluation))
    assert claimed < judged(evaluation)[0]
    assert failed == [leave_one_out.LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message


def test_a_token_that_comes_once_is_not_predicted_by_itself():
    """Its only count is its own: the network's row is left."""
    evaluation = network_evaluation()
    tokens_N = stream_of(evaluation, ["abcdefgh"])
    found = pretend_sealed(leave_one_out.apply(evaluation), tokens_N).nll_nats_N
    np.testing.assert_allclose(found, pretend_sealed(evaluation, tokens_N).nll_nats_N, atol=1e-6)
