"""Training goes on to the bit from wherever it was stopped, and keeping that changes nothing else."""

import contextlib
import errno
import os
import random
import signal

import pytest
import torch

from pgolf.core.errors import RankLost, TrainingError
from pgolf.core.signals import Stopped, heeding_signals
from pgolf.curriculum.growing import Growing
from pgolf.hook.burst import Burst
from pgolf.hook.checkpoint import Checkpoint
from pgolf.train import checkpoints
from pgolf.train.checkpoints import Checkpoints, of_rank
from pgolf.train.state import random_state
from tests.ranks import Forked, replicas
from tests.train.rig import RandomLoader, rig
from tests.train.test_trainer import full_rig

STEPS = 12


class OwnFiles(RandomLoader):
    """Each replica's place is in files of its own."""

    by_rank = True

    def state(self):
        return {**super().state(), "files": f"of {self.replicas.rank}"}

    def restore(self, state):
        assert state["files"] == f"of {self.replicas.rank}"
        super().restore(state)


def shared(found, what, folder=None):
    """A trainer of which each of several replicas has something of its own."""
    hooks = {
        "curriculum": Growing(starts=[0.0, 0.9], window_divisors=[1, 1], batch_divisors=[2, 1]),
        "burst": Burst(keep=3, below_lr_scale=0.9, epochs=2, rate=0.5, reserve=0.3),
    }
    chosen = [hooks[what]] if what in hooks else []
    trainer = rig([Checkpoint(every_seconds=3.0, keep=2), *chosen], steps=STEPS, after=4.0, replicas=found)
    for hook in chosen:
        hook.prepare(trainer.schedule)
    if what == "files":
        trainer.loader = OwnFiles(trainer.loader.time, replicas=found)
    if what == "curriculum":
        hooks[what].check(2, 16)
        trainer.loader = hooks[what].wrap(trainer.loader)
    trainer.folder = folder if found.rank == 0 else None
    return trainer


def stopped_and_taken_up(found, what, folder):
    """What a run of two that nobody stops leaves, and one that dies and is taken up; from where; what was said."""
    whole = shared(found, what).fit().state
    stopped = shared(found, what, folder)
    mortal(stopped, "the loss", 12, None)
    with contextlib.suppress(Killed):
        stopped.fit()
    state = found.shared(newest(folder).state if found.rank == 0 else None)
    again = shared(found, what).fit(of_rank(state, found.rank)).state
    return whole, again, state["step"], [event.text for event in stopped.listeners[0].of("checkpoint")]


class Killed(BaseException):
    """As SIGKILL: nothing is written any more."""


def checkpointed(folder, every_seconds=2.0, keep=2, steps=STEPS, plain=False):
    trainer = rig(steps=steps) if plain else full_rig(steps)
    trainer.folder = folder
    trainer.hooks.insert(0, Checkpoint(every_seconds=every_seconds, keep=keep))
    return trainer


def newest(folder):
    return Checkpoints(folder).newest(lambda text: None)


@pytest.fixture(scope="module")
def expected():
    return full_rig(STEPS).fit()


def same(result, expected):
    assert (result.steps, result.tokens, result.seconds) == (expected.steps, expected.tokens, expected.seconds)
    return all(torch.equal(result.state[name], value) for name, value in expected.state.items())


def mortal(trainer, where, calls, patch):
    """It dies at so many calls of this."""
    count = iter(range(1, calls))

    def until_then(call):
        def called(*args, **kwargs):
            if next(count, None) is None:
                raise Killed
            return call(*args, **kwargs)

        return called

    if where == "a write":
        patch.setattr(checkpoints, "write_bytes_atomic", until_then(checkpoints.write_bytes_atomic))
    elif where == "the loss":
        trainer.loss = until_then(trainer.loss)
    elif where == "the optimizer":
        trainer.optimizer.step = until_then(trainer.optimizer.step)
    else:
        trainer.hooks[-1].after_step = until_then(trainer.hooks[-1].after_step)


def test_a_run_that_is_killed_again_and_again_at_random_moments_ends_in_the_same_bits(tmp_path, expected):
    draw = random.Random(3)
    for kills in range(5):
        found = newest(tmp_path)
        trainer = checkpointed(tmp_path)
        torch.manual_seed(kills)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Checkpoint, "at_break", lambda *args: None)
            if kills < 4:
                where = draw.choice(["the loss", "the optimizer", "a hook", "a write"])
                left = STEPS - (found.step if found else 0)
                mortal(trainer, where, 1 if where == "a write" else draw.randint(1, max(1, left)), patch)
            try:
                result = trainer.fit(resume=found.state if found else None)
            except Killed:
                if draw.random() < 0.3 and len(Checkpoints(tmp_path).paths()) > 1:
                    os.truncate(Checkpoints(tmp_path).paths()[-1], draw.randrange(5000))
    assert kills == 4 and same(result, expected)


@pytest.mark.parametrize(("what", "kept"), [("files", 10), ("curriculum", 7), ("burst", 10), ("nothing", 11)])
def test_what_each_of_two_processes_has_of_its_own_is_taken_up_by_each(what, kept, tmp_path):
    work = lambda found: stopped_and_taken_up(found, what, tmp_path)  # noqa: E731 - it is called here
    answers = Forked(work, tmp_path / "meeting", join=replicas(silence_seconds=60.0)).answers()
    assert all(isinstance(answer, tuple) for answer in answers), answers
    for whole, again, step, _ in answers:
        assert all(torch.equal(again[name], value) for name, value in whole.items())
        assert step == kept
    assert ("each process has a part of the state" in answers[0][3][-1]) == (what != "nothing")


@pytest.mark.parametrize(("where", "kept"), [("loss", 4), ("optimizer", 5)])
def test_a_signal_in_a_step_loses_at_most_that_step_and_waits_only_for_an_update(where, kept, tmp_path, expected):
    trainer = checkpointed(tmp_path, every_seconds=1000.0)

    def signalled(call):
        def called(*args):
            if trainer.step == 4:
                signal.raise_signal(signal.SIGTERM)
            return call(*args)

        return called

    trainer.loss = signalled(trainer.loss) if where == "loss" else trainer.loss
    trainer.optimizer.step = signalled(trainer.optimizer.step) if where == "optimizer" else trainer.optimizer.step
    with heeding_signals(), pytest.raises(Stopped):
        trainer.fit()
    assert newest(tmp_path).step == kept
    (told,) = trainer.listeners[0].of("checkpoint")
    assert told.text == f"step {kept} is kept; resume=true goes on from there"
    assert same(checkpointed(tmp_path).fit(resume=newest(tmp_path).state), expected)


def test_a_signal_while_a_rest_is_noted_leaves_the_state_of_that_rest(tmp_path, expected, monkeypatch):
    trainer = checkpointed(tmp_path, every_seconds=1000.0)

    def signalled():
        if trainer.step == 5:
            signal.raise_signal(signal.SIGTERM)
        return random_state()

    with monkeypatch.context() as patch, heeding_signals(), pytest.raises(Stopped):
        patch.setattr("pgolf.hook.checkpoint.random_state", signalled)
        trainer.fit()
    assert newest(tmp_path).step == 5
    assert same(checkpointed(tmp_path).fit(resume=newest(tmp_path).state), expected)


@pytest.mark.parametrize(
    ("error", "kept"), [(MemoryError(), 4), (RankLost("rank 1 has ended"), 4), (TrainingError("nan"), 2)], ids=repr
)
def test_an_error_before_an_update_leaves_what_was_there_before_the_step(error, kept, tmp_path):
    trainer = checkpointed(tmp_path, every_seconds=2.0 if kept == 2 else 1000.0, plain=True)
    honest = trainer.loss

    def loss(x, y):
        if trainer.step == 4:
            raise error
        return honest(x, y)

    trainer.loss = loss
    with pytest.raises(type(error)):
        trainer.fit()
    assert newest(tmp_path).step == kept + (kept == 2)
    if kept == 4:
        again = checkpointed(tmp_path, plain=True)
        assert same(again.fit(resume=newest(tmp_path).state), rig(steps=STEPS).fit())


def test_a_signal_while_dev_is_scored_does_not_wait_and_loses_nothing(tmp_path, expected):
    trainer = checkpointed(tmp_path, every_seconds=1000.0)
    scores, again = trainer.score_dev, checkpointed(tmp_path)
    scored = []

    def score_dev(state, tokens):
        signal.raise_signal(signal.SIGTERM)
        scored.append("after the signal")
        return scores(state, tokens)

    trainer.score_dev = score_dev
    with heeding_signals(), pytest.raises(Stopped):
        trainer.fit()
    assert not scored and newest(tmp_path).step == 3
    assert same(again.fit(resume=newest(tmp_path).state), expected)
    assert [event.step for event in again.listeners[0].of("dev")] == [3, 6, 9], "the one that was stopped is made"


def test_an_error_in_an_update_leaves_the_checkpoint_before_it(tmp_path):
    trainer = checkpointed(tmp_path, every_seconds=3.0)
    trainer.hooks[1].after_step = lambda trainer: 1 / (trainer.step < 6)
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert newest(tmp_path).step == 4


def test_one_is_written_at_the_cadence_of_the_training_clock_which_stands_still_meanwhile(tmp_path, monkeypatch):
    plain = rig(steps=STEPS).fit()
    trainer, steps = checkpointed(tmp_path, every_seconds=4.0, plain=True), []
    write = checkpoints.write_bytes_atomic

    def slow_write(*args):
        trainer.loader.time.now += 500.0
        steps.append(trainer.step)
        write(*args)

    monkeypatch.setattr(checkpoints, "write_bytes_atomic", slow_write)
    result = trainer.fit()
    assert steps == [5, 9, STEPS] and same(result, plain)
    assert [path.name for path in Checkpoints(tmp_path).paths()] == ["00000009.ckpt", "00000012.trained.ckpt"]


def test_a_full_disk_keeps_the_last_good_one_and_training_goes_on(tmp_path, monkeypatch, expected):
    trainer = checkpointed(tmp_path)
    fsync = os.fsync

    def full(descriptor):
        if trainer.step > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert same(trainer.fit(), expected)
    told = [event.text for event in trainer.listeners[0].of("checkpoint")]
    assert told[0] == "" and all("No space left on device" in text and "stays" in text for text in told[1:])
    assert len(told) > 2 and newest(tmp_path).step == 3
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000003.ckpt"], "no halves"


def test_weights_that_are_no_numbers_take_the_place_of_none_that_are(tmp_path):
    trainer = checkpointed(tmp_path, plain=True)
    step = trainer.optimizer.step

    def bad_step(*args):
        step(*args)
        if trainer.step == 4:
            next(trainer.model.parameters()).data.flatten()[0] = torch.nan
            trainer.stop("here")

    trainer.optimizer.step = bad_step
    trainer.fit()
    assert newest(tmp_path).step == 3
    assert "no numbers any more" in trainer.listeners[0].of("checkpoint")[-1].text


def test_what_training_leaves_is_kept_with_its_result(tmp_path, expected):
    trainer = checkpointed(tmp_path, every_seconds=1000.0)
    result = trainer.fit()
    found = newest(tmp_path)
    assert found.trained and found.state["result"]["steps"] == STEPS and found.state["route"] == trainer.model.active
    assert all(torch.equal(found.state["result"]["state"][name], value) for name, value in result.state.items())


def test_without_a_folder_it_does_nothing():
    trainer = checkpointed(None, steps=5, plain=True)
    trainer.fit()
    assert trainer.listeners[0].of("checkpoint") == []
