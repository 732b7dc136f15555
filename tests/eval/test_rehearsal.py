"""Trying an evaluation before it is wanted."""

import itertools

import pytest

from pgolf.core.errors import ConfigError
from pgolf.eval import rehearsal
from pgolf.eval.rehearsal import WORTH_TARGETS, rehearse
from tests.eval.stages import mean
from tests.eval.test_evaluation import evaluation, method, stream


class Alone:
    """A mixer of what is not there."""

    def stage(self, facts, experts):
        return mean().stage(facts, experts + 1)


TEXT_N = stream("a text that is far shorter than what it stands for " * 4)
TOKENS = WORTH_TARGETS + 1_001


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_first_rounds_are_timed_and_stand_for_all(lanes, monkeypatch):
    ticks = itertools.count()  # half a second from one batch of scores to the next
    monkeypatch.setattr(rehearsal, "perf_counter", lambda: next(ticks) / 2)
    found = rehearse(evaluation(method=method(lanes=lanes)), TEXT_N, TOKENS)
    assert found.seconds == rehearsal.LEAST_SECONDS and 0 < found.tried < TOKENS / 2
    assert found.targets == TOKENS - 1
    assert found.total_seconds == pytest.approx((TOKENS - 1) / (found.tried / found.seconds))


def test_a_short_stream_is_scored_sooner_than_tried_but_must_be_possible():
    assert rehearse(evaluation(), TEXT_N, WORTH_TARGETS) is None
    with pytest.raises(ConfigError, match="needs the signal 'total', which nobody offers"):
        rehearse(evaluation(mixer=Alone()), TEXT_N, WORTH_TARGETS)
