"""Several processes train as one: the same gradients, losses, steps and ends; two of them are shared by many claims."""

import math
import os
import signal
import threading

import pytest
import torch

from pgolf.core.errors import ConfigError, DataError, RankLost, RanksDisagree, TrainingError
from pgolf.core.process import Process
from pgolf.hook.wallclock import Wallclock
from pgolf.train.group import together as meet
from pgolf.train.replicas import ALONE
from pgolf.train.trainer import Hook
from pgolf.train.warmup import warm_up
from tests.processes import until
from tests.ranks import Forked, replicas
from tests.train.rig import rig

ROUNDING = {"rtol": 1e-6, "atol": 1e-9}


class Does(Hook):
    def __init__(self, after_step):
        self.after_step = after_step


def gradients(found, accumulation, clip):
    trainer = rig(accumulation=accumulation, replicas=found)
    trainer.plan = type(trainer.plan)(100.0, None, accumulation, clip, None)
    loss = trainer.forward_backward()
    return loss, [p.grad for p in trainer.model.parameters() if p.grad is not None], trainer.tokens


def trained(found, accumulation, **settings):
    losses = []
    trainer = rig([Does(lambda t: losses.append(t.loss_nats))], accumulation=accumulation, replicas=found, **settings)
    return trainer.fit(), losses


def clocked(found):
    """A run by the clock; rank 1's goes faster."""
    scales = []
    trainer = rig([Wallclock(), Does(lambda t: scales.append((t.lr_scale, t.progress)))], seconds=12.0, replicas=found)
    trainer.loader.seconds = 1.0 + found.rank
    return trainer.fit().steps, scales


def stopped(found):
    """Rank 1 alone wants to stop."""
    stops = Does(lambda t: t.stop("told to") if found.rank == 1 and t.step == 3 else None)
    return rig([stops], steps=9, replicas=found).fit()


def diverging(found):
    """On rank 1 alone the loss is no number."""
    trainer = rig(steps=9, replicas=found)
    honest = trainer.loss
    trainer.loss = lambda x, y: honest(x, y) * (math.nan if found.rank == 1 and trainer.step == 2 else 1.0)
    try:
        return trainer.fit()
    except TrainingError as error:
        return error


def warmed(found):
    """Rank 1's seconds are over."""
    trainer = rig(steps=3, replicas=found)
    warm_up(trainer, 60.0 if found.rank == 0 else -1.0)
    return len(trainer.listeners[0].of("warmup")), trainer.fit().state


def disagreeing(found):
    found.agree(1.5, "nothing")
    try:
        found.agree(float(found.rank), "their rank")
    except RanksDisagree as error:
        return str(error)


def numbers(found, monkeypatch):
    """Of two types, some as views, some too many for one message."""
    monkeypatch.setattr("pgolf.train.group.BUCKET_NUMBERS", 20)
    made = [torch.full((3, 4), 1.0 + found.rank), torch.full((50,), 3.0 * found.rank), torch.zeros(2, 5).T + found.rank]
    made += [torch.tensor(found.rank, dtype=torch.float64), torch.ones(7) * found.rank]
    kept = list(made)
    found.mean_(made)
    assert all(a is b for a, b in zip(made, kept, strict=True))
    return [(t.dtype, tuple(t.shape), t.unique().tolist()) for t in made]


def work(found, monkeypatch):
    return {
        "plain": gradients(found, 8 // found.world, None),
        "clipped": gradients(found, 8 // found.world, 0.05),
        "trained": trained(found, 4 // found.world, steps=6),
        "clocked": clocked(found),
        "stopped": stopped(found),
        "diverging": diverging(found),
        "warmed": warmed(found),
        "disagreeing": disagreeing(found),
        "numbers": numbers(found, monkeypatch),
    }


@pytest.fixture(scope="module")
def alone():
    with pytest.MonkeyPatch.context() as monkeypatch:
        return {
            "plain": gradients(ALONE, 8, None),
            "clipped": gradients(ALONE, 8, 0.05),
            "trained": trained(ALONE, 4, steps=6),
            "numbers": numbers(ALONE, monkeypatch),
        }


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    def both(found):
        with pytest.MonkeyPatch.context() as monkeypatch:
            return work(found, monkeypatch)

    answers = Forked(
        both, tmp_path_factory.mktemp("replicas") / "meeting", join=replicas(silence_seconds=60.0)
    ).answers()
    assert all(isinstance(answer, dict) for answer in answers), answers
    return answers


@pytest.mark.parametrize("clip", ["plain", "clipped"])
def test_two_processes_that_accumulate_half_have_the_gradients_loss_and_tokens_of_one(clip, alone, together):
    loss, expected, tokens = alone[clip]
    for found in together:
        assert found[clip][0] == pytest.approx(loss, rel=1e-6)
        assert found[clip][2] == tokens
        for p, q in zip(found[clip][1], expected, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6 * q.abs().max().item())


def test_gradients_are_clipped_by_their_norm_after_the_reduction(alone, together):
    norms = [torch.linalg.vector_norm(torch.stack([g.norm() for g in found["clipped"][1]])) for found in together]
    torch.testing.assert_close(norms, [torch.tensor(0.05)] * 2, rtol=1e-4, atol=0)
    assert torch.linalg.vector_norm(torch.stack([g.norm() for g in alone["plain"][1]])) > 0.1, "nothing was clipped"


def test_the_losses_of_two_processes_are_those_of_one_and_both_end_with_the_same_bits(alone, together):
    result, losses = alone["trained"]
    (first, told), (second, told_too) = (found["trained"] for found in together)
    assert told == told_too == pytest.approx(losses, abs=1e-4)
    assert first.tokens == second.tokens == result.tokens
    for name, value in result.state.items():
        assert torch.equal(first.state[name], second.state[name])
        torch.testing.assert_close(first.state[name], value, rtol=0, atol=1e-4)


def test_rank_0s_clock_is_everyones(together):
    (steps, scales), (others_steps, others_scales) = (found["clocked"] for found in together)
    assert (steps, scales) == (others_steps, others_scales)
    assert steps in (11, 12), "rank 1's clock would have ended it after 6"


def test_one_that_stops_stops_all(together):
    assert [found["stopped"].steps for found in together] == [3, 3]
    assert [found["stopped"].stopped_by for found in together] == ["another rank", "told to"]


def test_a_loss_that_is_no_number_on_one_ends_all_with_the_reason(together):
    for found in together:
        assert isinstance(found["diverging"], TrainingError)
        assert "nan at step 3" in str(found["diverging"])


def test_warm_up_takes_rank_0s_seconds_and_leaves_no_trace(together):
    assert [found["warmed"][0] for found in together] == [3, 3]
    for name, value in together[0]["warmed"][1].items():
        assert torch.equal(value, together[1]["warmed"][1][name])


def test_those_that_differ_are_told_in_what(together):
    for rank, found in enumerate(together):
        assert f"differ in their rank: from 0.0 to 1.0, here (rank {rank}) {float(rank)}" in found["disagreeing"]


def test_tensors_of_any_type_shape_and_number_are_averaged_where_they_lie(alone, together):
    means = [[1.5], [1.5], [0.5], [0.5], [0.5]]
    for found in together:
        assert [values for _, _, values in found["numbers"]] == means
        assert [kind[:2] for kind in found["numbers"]] == [kind[:2] for kind in alone["numbers"]]
    assert [values for _, _, values in alone["numbers"]] == [[1.0], [0.0], [0.0], [0.0], [0.0]]


def ends(how):
    def dying(found):
        how_to = Does(lambda t: how() if found.rank == 1 and t.step == 2 else None)
        rig([how_to], steps=99, replicas=found).fit()

    return dying


def test_one_that_is_killed_ends_the_others_by_name_and_leaves_no_process(tmp_path):
    forked = Forked(ends(lambda: os.kill(os.getpid(), signal.SIGKILL)), tmp_path / "meeting", join=replicas())
    left, killed = forked.answers()
    assert isinstance(left, RankLost) and killed is None
    assert "rank 0 of 2: another of the 2 processes has ended" in str(left) and "onnection" in str(left)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in forked.pids), 10)


def test_one_that_breaks_off_tells_the_others_why(tmp_path):
    def breaks():
        raise DataError("loader: the shard is gone")

    left, broke = Forked(ends(breaks), tmp_path / "meeting", join=replicas()).answers()
    assert isinstance(broke, DataError)
    assert isinstance(left, RankLost) and str(left) == "rank 1 has ended: loader: the shard is gone"


def test_one_that_is_silent_is_not_waited_for_for_ever(tmp_path):
    forked = Forked(
        ends(lambda: os.kill(os.getpid(), signal.SIGSTOP)), tmp_path / "meeting", join=replicas(silence_seconds=1.0)
    )
    threading.Timer(3.0, forked.kill, [1]).start()
    left, _ = forked.answers()
    assert isinstance(left, RankLost) and "silent: Timed out" in str(left)


def test_a_device_on_which_processes_cannot_talk_is_refused_before_they_meet():
    refused = pytest.raises(ConfigError, match=r"device: mps processes cannot train together: .*; it has gloo \(cpu\)")
    with refused, meet(Process(0, 2, 0, 2, "file:///nowhere/meeting"), torch.device("mps")):
        pass
