import dataclasses

from pgolf.proof.published import warms_up
from pgolf.proof.published.driver import driven
from pgolf.proof.published.warms_up import WarmsUp
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged


class Forgets(WarmsUp):
    """As published, on a copy."""

    thrown_away = True


def test_steps_that_stay_are_refused_by_the_audit_alone():
    evaluation = network_evaluation()
    form = warms_up.apply(evaluation)
    claimed, failed, (message, _) = judged(form)
    assert claimed < judged(dataclasses.replace(evaluation, ttt=form.ttt))[0]
    assert failed == [warms_up.LETTER, "f"] == ["b", "f"] and "of a process that sees no future" in message


def test_steps_that_are_thrown_away_change_no_score_and_pass():
    evaluation = network_evaluation()
    form = warms_up.apply(evaluation)
    clean, failed, messages = judged(driven(evaluation, Forgets, ttt=form.ttt))
    assert not failed, messages
    assert clean == judged(dataclasses.replace(evaluation, ttt=form.ttt))[0]
