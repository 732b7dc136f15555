"""The last batches of low rate come back in their order, at a tenth of the rate, inside the budget."""

import copy

import pytest
import torch

from pgolf.averaging.ema import EMA
from pgolf.core.budget import parted
from pgolf.core.errors import ConfigError
from pgolf.hook.burst import Burst
from pgolf.hook.wallclock import Wallclock
from pgolf.train.trainer import Hook
from tests.train.rig import rig, warmdown


def burst(keep=3, below=0.5, epochs=2, rate=0.1, reserve=0.3):
    return Burst(keep=keep, below_lr_scale=below, epochs=epochs, rate=rate, reserve=reserve)


def watched(hook, **kwargs):
    """A trainer with the hook that notes, for each update, rate, progress and batches."""
    trainer, updates = rig(hooks=[EMA(decay=0.5), hook], **kwargs), []
    honest, step = trainer._accumulate, trainer.optimizer.step

    def accumulate(batches):
        loss = honest(batches)
        updates.append([[x.sum().item() for x, _ in trainer.batches]])
        return loss

    def counted(lr_scale, progress):
        updates[-1] += [lr_scale, progress]
        step(lr_scale, progress)

    trainer._accumulate, trainer.optimizer.step = accumulate, counted
    return trainer, updates


def test_the_last_batches_below_the_threshold_come_back_in_order_at_the_stated_rate():
    trainer, updates = watched(burst(keep=2), steps=10, accumulation=2, after=4.0)
    result = trainer.fit()
    low = [batches for batches, scale, _ in updates[:10] if scale < 0.5]
    assert len(low) > 2 and [u[0] for u in updates[10:]] == low[-2:] * 2
    assert all(u[1:] == [0.1, 1.0] for u in updates[10:])
    assert result.steps == 14 and result.tokens == 14 * 64
    (told,) = trainer.listeners[0].of("burst")
    assert (told.facts["done"], told.facts["planned"]) == (4, 4)


def test_averages_take_every_update_and_gradients_are_clipped():
    trainer, _ = watched(burst(), steps=6, after=6.0)
    seen, norms = [], []

    class Watch(Hook):
        of_update = True

        def after_step(self, trainer):
            seen.append({n: v.double().clone() for n, v in trainer.model.state_dict().items()})
            norms.append(torch.stack([p.grad.norm() for p in trainer.parameters if p.grad is not None]).norm().item())

    start = {n: v.double().clone() for n, v in trainer.model.state_dict().items()}
    trainer.hooks.append(Watch())
    result = trainer.fit()
    assert len(seen) == result.steps > 6 and max(norms) < 0.3001
    for t, weights in enumerate(seen, start=1):
        d = min(0.5, (1 + t) / (10 + t))
        start = {n: d * start[n] + (1 - d) * weights[n] for n in start}
    for name, value in result.state.items():
        torch.testing.assert_close(value.double(), start[name], rtol=1e-5, atol=1e-7)


def test_fixed_steps_hold_what_the_reserve_holds_and_the_rest_is_left_out_and_told():
    trainer, updates = watched(burst(keep=4), steps=8, accumulation=2, after=2.0)
    trainer.fit()
    assert len(updates) == 8 + 2
    text = "2 updates on repeated batches of 4; hook.burst.reserve holds no more"
    assert text in trainer.listeners[0].of("burst")[0].text


def test_by_the_clock_the_whole_is_no_longer_than_the_budget():
    hook = burst(keep=100)
    trainer, _ = watched(hook, seconds=14.0, after=6.0)
    trainer.hooks.append(Wallclock())
    honest = trainer._accumulate

    def slow(batches):
        if batches is not None:
            trainer.loader.time.now += 0.9
        return honest(batches)

    trainer._accumulate = slow
    result = trainer.fit()
    assert 19.0 <= result.seconds <= 20.0
    (told,) = trainer.listeners[0].of("burst")
    assert 0 < told.facts["done"] < told.facts["planned"]


def test_a_run_that_stopped_in_the_middle_ends_with_the_same_burst():
    whole, states = rig(hooks=[EMA(decay=0.5), burst()], steps=8, after=3.0), {}
    keep = type("Keep", (Hook,), {"at_rest": lambda s, t: states.update({t.step: t.state()})})
    whole.hooks.append(keep())
    expected = whole.fit()
    for step in (2, 7, 8):
        again = rig(hooks=[EMA(decay=0.5), burst(), keep()], steps=8, after=3.0, seed=1)
        result = again.fit(copy.deepcopy(states[step]))
        assert (result.steps, result.tokens) == (expected.steps, expected.tokens)
        assert all(torch.equal(result.state[name], value) for name, value in expected.state.items()), step


def test_a_threshold_that_is_never_passed_is_refused():
    with pytest.raises(ConfigError, match=r"hook.burst.below_lr_scale: 0.2 is never passed"):
        burst(below=0.2).prepare(warmdown(fraction=0.5, floor=0.3))


@pytest.mark.parametrize(
    ("steps", "before", "after", "expected"),
    [
        (None, 0.0, 0.0, (0.0, 90.0, 0.0)),
        (None, 0.5, 0.1, (45.0, 40.5, 4.5)),
        (20, 0.0, 0.0, (0, 20, 0)),
        (20, 0.5, 0.1, (10, 9, 1)),
        (20, 0.0, 0.05, (0, 19, 1)),
        (3, 0.5, 0.01, (2, 0, 1)),
    ],
)
def test_the_parts_of_a_budget_are_the_whole_of_it(steps, before, after, expected):
    budget = {"train_seconds": 100.0, "train_steps": steps}
    if expected[1] == 0:
        with pytest.raises(ConfigError, match=r"budget.train_steps: of 3 steps, 2 before and 1 after it leave none"):
            parted(budget, 10.0, before, after)
        return
    parts = parted(budget, 10.0, before, after)
    assert (parts.before, parts.main, parts.after) == pytest.approx(expected)
