import dataclasses

import numpy as np
import pytest

from pgolf.proof.published import two_pass
from tests.eval.stages import counts, mean
from tests.proof.making import network_evaluation, pretend_audit, pretend_sealed, stream_of
from tests.proof.published.refusal import TEXT, judged

STAGES = {"network": {}, "with counts": {"ngram": counts(), "mixer": mean()}}


@pytest.mark.parametrize("stages", STAGES)
def test_it_claims_less_than_the_same_adaptation_in_order_and_is_refused_by_the_audit_alone(stages):
    evaluation = network_evaluation(**STAGES[stages])
    form = two_pass.apply(evaluation)
    honest, failed, messages = judged(dataclasses.replace(evaluation, ttt=form.ttt))
    assert not failed, messages
    claimed, failed, (message, _) = judged(form)
    assert claimed < honest < judged(evaluation)[0]
    assert failed == [two_pass.LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message


def test_who_sees_no_future_makes_the_rows_of_the_adaptation_in_order():
    evaluation = network_evaluation()
    form = two_pass.apply(evaluation)
    in_order = dataclasses.replace(evaluation, ttt=form.ttt)
    tokens_N = stream_of(evaluation, TEXT)
    audit = pretend_audit(form, tokens_N, pretend_sealed(in_order, tokens_N), places=60)
    assert audit.complete and np.abs(audit.difference_n).max() < 1e-5


def test_each_chunk_says_what_both_passes_cost_and_only_those_are_replaced():
    evaluation = network_evaluation(**STAGES["with counts"])
    tokens_N, how = stream_of(evaluation, TEXT), {"split": "dev", "subset": True}
    once = pretend_sealed(evaluation, tokens_N).nll_nats_N
    score, chunks = two_pass.score_twice(evaluation, tokens_N, **how)
    assert score.method.endswith("+two_pass") and not score.valid
    size = -(-len(once) // 63)
    count = -(-15 * -(-len(once) // size) // 63)
    again = count * size
    assert len(chunks) == count and all(chunk.first_bpb > chunk.second_bpb for chunk in chunks)
    bits = (once[:again].sum() / np.log(2), once[again:].sum() / np.log(2))
    second = score.claimed_bpb * score.bytes - bits[1]
    assert 0 < second < bits[0]
    assert str(chunks[0]).startswith(f"pass2 chunk:1 pass1:{chunks[0].first_bpb:.4f} pass2:")
    fewer, two = two_pass.score_twice(evaluation, tokens_N, chunks_again=2, **how)
    assert two == chunks[:2] and score.claimed_bpb < fewer.claimed_bpb
