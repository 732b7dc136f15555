import dataclasses

from pgolf.proof.published import train_first
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged


def test_it_claims_less_than_the_same_adaptation_in_order_and_is_refused_by_the_audit_alone():
    evaluation = network_evaluation()
    form = train_first.apply(evaluation)
    honest, failed, messages = judged(dataclasses.replace(evaluation, ttt=form.ttt))
    assert not failed, messages
    claimed, failed, (message, _) = judged(form)
    assert claimed < honest
    assert failed == [train_first.LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message
