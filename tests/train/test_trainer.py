"""The loop: ends where it should, repeats to the bit, keeps the last good state, leaves no warm-up trace."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch

from pgolf.averaging.ema import EMA
from pgolf.core.errors import TrainingError
from pgolf.core.make import make
from pgolf.hook.validate import Validate
from pgolf.hook.wallclock import Wallclock
from pgolf.run.record import Run
from pgolf.train.activation import Activate
from pgolf.train.trainer import SNAPSHOT_STEPS, Hook
from pgolf.train.warmup import warm_up
from tests.helpers import tiny_settings
from tests.train.rig import rig


def test_a_fixed_number_of_steps_is_taken_exactly():
    result = rig(steps=7).fit()
    assert (result.steps, result.tokens, result.stopped_by) == (7, 7 * 32, "steps")


def test_two_runs_of_one_seed_are_bitwise_equal():
    first, second = rig(steps=4).fit(), rig(steps=4).fit()
    for name in first.state:
        assert torch.equal(first.state[name], second.state[name])


def test_training_lowers_the_loss_on_a_repeated_batch():
    trainer = rig(steps=30)
    batch = trainer.loader.next_batch()
    trainer.loader.next_batch = lambda: batch
    losses = []
    trainer.hooks.append(type("Watch", (Hook,), {"after_step": lambda self, t: losses.append(t.loss_nats)})())
    trainer.fit()
    assert losses[-1] < 0.7 * losses[0]


def test_accumulated_gradients_equal_one_large_batch():
    one, two = rig(accumulation=1), rig(accumulation=2)
    a, b = (two.loader.next_batch() for _ in range(2))
    one.loader.next_batch = lambda: (torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]))
    two.loader.restore({"position": 0})
    assert one.forward_backward() == pytest.approx(two.forward_backward(), abs=1e-6)
    for p, q in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-7)


def test_gradients_are_clipped_to_the_stated_norm():
    trainer = rig()
    with torch.no_grad():
        trainer.model.embedding.mul_(1000)
    trainer.forward_backward()
    norm = torch.linalg.vector_norm(
        torch.stack([p.grad.norm() for p in trainer.model.parameters() if p.grad is not None])
    )
    assert norm <= 0.3001


def test_the_run_stops_before_the_budget_is_over():
    result = rig(hooks=[Wallclock()], seconds=10.0).fit()
    assert result.stopped_by == "wallclock"
    assert result.seconds <= 10.0 and result.steps in (9, 10)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state():
    trainer = rig(steps=200)
    honest = trainer.loss
    trainer.loss = lambda x, y: honest(x, y) * (math.nan if trainer.step >= SNAPSHOT_STEPS + 3 else 1.0)
    with pytest.raises(TrainingError, match=rf"nan at step {SNAPSHOT_STEPS + 4}"):
        trainer.fit()
    assert trainer.good.step == SNAPSHOT_STEPS
    assert all(torch.isfinite(v).all() for v in trainer.good.state.values())


def test_the_kept_weights_of_a_diverged_run_name_the_schedule_they_were_trained_in(tmp_path, monkeypatch):
    """The run switches after step 3; its last good weights are those of step 2, plain ones."""
    monkeypatch.setattr("pgolf.train.trainer.SNAPSHOT_STEPS", 2)
    trainer = rig(steps=20, words=("arch/recurrence=mini", "arch.recurrence.start=0.15"))
    trainer.hooks = [Activate(trainer.model.activations(), trainer.model.routes, 20)]
    honest = trainer.loss
    trainer.loss = lambda x, y: honest(x, y) * (math.nan if trainer.step >= 3 else 1.0)
    with pytest.raises(TrainingError, match="weights of step 2 are kept") as caught:
        trainer.fit()
    assert (trainer.model.active, trainer.good.route) == ("recurrent", "plain")
    run = SimpleNamespace(
        train=None, trainer=trainer, weights=None, files=SimpleNamespace(weights=tmp_path / "weights.pt")
    )
    for error, route in ((caught.value, "plain"), (KeyboardInterrupt(), "recurrent")):
        Run._keep_weights(run, error)
        assert torch.load(run.files.weights, weights_only=True)["route"] == route


def test_warm_up_leaves_no_trace():
    plain, warmed = rig(steps=5), rig(steps=5)
    rng = torch.get_rng_state()
    before = copy.deepcopy(warmed.model.state_dict())
    warm_up(warmed, 60.0)
    assert [e.facts["done"] for e in warmed.listeners[0].of("warmup")] == [1, 2, 3]
    assert all(torch.equal(v, before[k]) for k, v in warmed.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng) and warmed.loader.position == 0 and warmed.tokens == 0
    a, b = plain.fit(), warmed.fit()
    assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)


LOOPED = ("arch/recurrence=segment_loop", "arch.recurrence.starts=[0.5,0.75]")


def test_warm_up_runs_every_schedule_and_leaves_no_trace():
    warmed = rig(steps=4, words=LOOPED)
    before, ran = copy.deepcopy(warmed.model.state_dict()), []
    honest = warmed.loss
    warmed.loss = lambda x, y: ran.append(warmed.model.active) or honest(x, y)
    warm_up(warmed, 60.0)
    assert ran == ["plain", "extra1", "extra2"] * 3
    assert warmed.listeners[0].of("warmup")[-1].facts == {"done": 9, "total": 9}
    assert warmed.model.active == "plain"
    assert all(torch.equal(v, before[k]) for k, v in warmed.model.state_dict().items())
    warmed.loss = honest
    a, b = rig(steps=4, words=LOOPED).fit(), warmed.fit()
    assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)


def test_warm_up_compiles_every_schedule_even_when_its_seconds_are_over():
    trainer, ran = rig(steps=4, words=LOOPED), []
    honest = trainer.loss
    trainer.loss = lambda x, y: ran.append(trainer.model.active) or honest(x, y)
    warm_up(trainer, 0.0)
    assert ran == ["plain", "extra1", "extra2"]


def test_a_warm_up_that_fails_leaves_no_trace_either():
    trainer = rig(steps=4, words=LOOPED)
    before, honest = copy.deepcopy(trainer.model.state_dict()), trainer.loss

    def fail_later(x, y):
        if trainer.model.active == "extra2":
            raise RuntimeError("no compiler")
        return honest(x, y)

    trainer.loss = fail_later
    with pytest.raises(RuntimeError, match="no compiler"):
        warm_up(trainer, 60.0)
    assert trainer.model.active == "plain" and trainer.loader.position == 0 and trainer.tokens == 0
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())


def test_phases_are_listed_by_start():
    phases = rig(steps=5).phases()
    assert phases == sorted(phases, key=lambda p: (p.start, p.end)) and len(phases) >= 3


def full_rig(steps):
    """Everything that has a state: averages, dev scores, a clock, a switch of routes, a switch to the grid."""
    words = ("arch/recurrence=mini", "arch.recurrence.start=0.5")
    average, validate = EMA(decay=0.9), Validate(times=3, dev_tokens=8)
    trainer = rig(hooks=[average, validate, Wallclock()], steps=steps, words=words)
    trainer.score_dev = lambda state, tokens: SimpleNamespace(val_bpb=1.0, val_loss=2.0)
    qat = make(tiny_settings("qat=ste", "quant=int5_rtn")["qat"])
    prepared = qat.prepare(trainer.model, make(tiny_settings("quant=int5_rtn")["quant"]), trainer.schedule)
    trainer.loss = prepared.loss
    switch = Activate(trainer.model.activations(), trainer.model.routes, steps)
    trainer.hooks = [*prepared.updates, *trainer.hooks, switch, *prepared.hooks]
    return trainer


class KeepState(Hook):
    """The trainer's state after ``at`` steps, through a file as a checkpoint would keep it."""

    def __init__(self, at, path):
        self.at, self.path = at, path

    def at_rest(self, trainer):
        if trainer.step == self.at:
            torch.save(trainer.state(), self.path)


@pytest.mark.parametrize("at", [1, 5, 6, 11])
def test_a_run_goes_on_from_a_saved_state_to_the_bit(at, tmp_path):
    """A hook that saves ``state()`` and ``fit(resume=…)`` are all that a checkpoint will need."""
    whole = full_rig(12)
    whole.hooks.append(KeepState(at, tmp_path / "state.pt"))
    expected = whole.fit()
    again = full_rig(12)
    again.hooks.append(KeepState(-1, tmp_path / "unused.pt"))
    torch.manual_seed(99)
    result = again.fit(resume=torch.load(tmp_path / "state.pt", weights_only=True))
    assert (result.steps, result.tokens, result.seconds) == (12, expected.tokens, expected.seconds)
    for name, value in expected.state.items():
        assert torch.equal(result.state[name], value), name
    dev = [event.step for event in whole.listeners[0].of("dev")]
    assert [event.step for event in again.listeners[0].of("dev")] == [step for step in dev if step > at]
    assert again.model.active == whole.model.active == "recurrent"


def test_a_state_is_a_copy():
    trainer = rig(hooks=[EMA(decay=0.9)], steps=3)
    trainer.hooks[0].at_start(trainer)
    state = trainer.state()
    kept = copy.deepcopy(state)
    trainer.fit()
    for part in ("model", "hooks"):
        for one, other in zip(tensors(state[part]), tensors(kept[part]), strict=True):
            assert torch.equal(one, other)


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    children = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return [tensor for child in children for tensor in tensors(child)]


def test_every_step_is_told_once_with_its_numbers():
    trainer = rig(steps=3)
    trainer.fit()
    told = trainer.listeners[0].of("step")
    assert [event.step for event in told] == [1, 2, 3] and all(event.series for event in told)
    assert told[-1].facts["tokens"] == 96 and told[-1].facts["train_loss"] == trainer.loss_nats


def test_hooks_are_told_when_training_breaks_off():
    class Watch(Hook):
        def after_step(self, trainer):
            raise KeyboardInterrupt

        def at_break(self, trainer, error):
            self.broke = (trainer.step, type(error))

    watch = Watch()
    with pytest.raises(KeyboardInterrupt):
        rig(steps=3, hooks=[watch]).fit()
    assert watch.broke == (1, KeyboardInterrupt)
