"""Trying an evaluation before it is wanted."""

import itertools

import pytest

from pgolf.core.errors import ConfigError
from pgolf.eval import rehearsal
from pgolf.eval.rehearsal import WORTH_TARGETS, Replays, rehearse, rehearse_replays
from pgolf.ngram.backoff import Backoff
from pgolf.ngram.trie import CAPACITY
from pgolf.ttt.chunks import ChunkTrained
from tests.eval.stages import mean
from tests.eval.test_documents import documents
from tests.eval.test_evaluation import evaluation, method, stream
from tests.proof.making import network_evaluation
from tests.ttt.making import adaptation, sgd


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


@pytest.mark.parametrize("how", [method(lanes=3), documents(3, 16, 8)], ids=["windows", "documents"])
def test_a_bound_that_holds_no_round_of_a_short_stream_is_refused_before_anything_is_trained(how):
    class Bounded(Backoff):
        capacity = 0

        def stages(self, facts):
            (stage,) = super().stages(facts)
            stage.state.bound_4[CAPACITY] = self.capacity
            return (stage,)

    ngram = Bounded(min_order=2, max_order=4, discount=0.5, max_memory_mb=100)
    asked = evaluation(method=how, ngram=ngram, mixer=mean())
    for ngram.capacity in (0, 10_000):
        assert rehearse(asked, TEXT_N, 5_000) is None
    ngram.capacity = 20
    with pytest.raises(ConfigError, match=r"max_memory_mb: a round of .* tokens can take"):
        rehearse(asked, TEXT_N, 5_000)


CHUNK = 16


def replaying(count):
    numbers = {"chunk_tokens": CHUNK, "window": CHUNK, "lr": 0.01, "replay": count}
    return network_evaluation(ttt=adaptation("replay", **numbers))


@pytest.fixture
def steps(monkeypatch):
    """A clock that goes on by a second with each chunk that is trained on, and by a hundredth when it is looked at."""
    clock, train = [0.0], ChunkTrained._train

    def counting(self, lane, worth_N):
        clock[0] += 1.0
        train(self, lane, worth_N)

    def looked_at():
        clock[0] += 0.01
        return clock[0]

    monkeypatch.setattr(ChunkTrained, "_train", counting)
    monkeypatch.setattr(rehearsal, "perf_counter", looked_at)
    monkeypatch.setattr(rehearsal, "LEAST_STEPS", 20)  # what is settled lies a step behind or not


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("asked", [0, 1, 5])
def test_what_a_chunk_that_comes_again_costs_follows_whatever_number_is_asked_for(asked):
    found = rehearse_replays(replaying(asked), TEXT_N, TOKENS)
    chunks = (TOKENS - 1) / CHUNK
    assert found.bare_seconds == pytest.approx(chunks, rel=0.15)
    assert found.each_seconds == pytest.approx(chunks, rel=0.15)
    whole = rehearse(replaying(asked), TEXT_N, TOKENS).total_seconds
    assert whole == pytest.approx(found.bare_seconds + asked * found.each_seconds, rel=0.2)


def test_so_many_come_again_as_fit_the_seconds():
    found = Replays(bare_seconds=30.0, each_seconds=20.0)
    assert [found.within(seconds) for seconds in (29.9, 30, 49, 50, 300)] == [None, 0, 0, 1, 13]


def test_nothing_is_said_of_what_replays_none_or_is_short():
    assert rehearse_replays(evaluation(), TEXT_N, TOKENS) is None
    assert rehearse_replays(network_evaluation(ttt=sgd()), TEXT_N, TOKENS) is None
    assert rehearse_replays(replaying(1), TEXT_N, WORTH_TARGETS) is None
