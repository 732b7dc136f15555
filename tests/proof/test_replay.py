import numpy as np

from pgolf.proof.replay import Replay
from tests.eval.fakes import Average, Counting
from tests.proof.making import network_evaluation, pretend_sealed

TOKENS = np.concatenate([[1], np.random.default_rng(0).integers(4, 260, size=600)]).astype(np.uint16)


def check(evaluation, learns):
    sealed = pretend_sealed(evaluation, TOKENS)
    replay = Replay(evaluation, TOKENS, sealed.nll_nats_N, advance_seconds=60)
    assert (replay.experts_learn, replay.mixer_learns) == learns
    assert replay.reach == len(replay.chunks) == 5
    for chunk in range(5):
        first, last = replay.positions(chunk)
        assert np.array_equal(replay.baseline(chunk), sealed.nll_nats_N[first:last])


def test_state_at_every_chunk_is_the_runs_for_a_fixed_network():
    check(network_evaluation(), (False, False))


def test_state_at_every_chunk_is_the_runs_for_an_expert_that_learns():
    check(network_evaluation(Counting(260)), (True, False))


def test_state_at_every_chunk_is_the_runs_for_a_mixer_that_learns():
    check(network_evaluation(Counting(260), mixer=Average()), (True, True))


def test_time_bounds_how_far_a_replay_reaches():
    evaluation = network_evaluation(Counting(260), mixer=Average())
    nll_nats_N = pretend_sealed(evaluation, TOKENS).nll_nats_N
    replay = Replay(evaluation, TOKENS, nll_nats_N, advance_seconds=0)
    assert replay.chosen == (0,)
