"""What is odd is told by name and once, what is not is not told, and all of it goes on from a state."""

import math

import pytest

from pgolf.core.errors import TrainingError
from pgolf.hook.anomaly import Anomaly
from tests.train.rig import rig

DELAYED = ("arch/recurrence=mini", "arch.recurrence.start=0.5")


def anomaly(recent=5, steps=4):
    return Anomaly(recent=recent, deviations=6.0, least_nats=0.5, steps=steps)


def told(losses, hook):
    trainer = rig(hooks=[hook])
    for loss in losses:
        trainer.step += 1
        trainer.loss_nats = loss
        hook._look_at_loss(trainer)
    return [(event.step, event.facts["loss"]) for event in trainer.listeners[0].of("anomaly")]


def test_a_spike_is_told_once_and_noise_is_not():
    calm = [2.0, 2.1, 1.9, 2.05, 1.95]
    assert told([*calm, 2.4, 2.1], anomaly()) == []
    assert told([*calm, 5.0, 6.0, 2.0], anomaly()) == [(6, 5.0)]
    assert told([1.0, 1.0, 1.0, 1.0, 1.0, 1.4], anomaly()) == []  # many deviations, few nats
    assert told([1.0, 9.0, 1.0, 9.0, 1.0, 12.0], anomaly()) == []  # many nats, few deviations


def test_a_parameter_without_a_gradient_is_named_after_so_many_steps_and_others_are_not():
    trainer = rig(hooks=[anomaly()], steps=8)
    trainer.model.layers[2].mlp.up.weight.requires_grad_(False)
    trainer.fit()
    (event,) = trainer.listeners[0].of("anomaly")
    assert event.step == 4 and event.facts["names"] == ("layers.2.mlp.up.weight",)
    assert "no gradient but zero in 4 steps: layers.2.mlp.up.weight" in event.text


def test_a_run_that_ends_before_names_it_too_and_nothing_is_dead_in_the_default_model():
    trainer = rig(hooks=[anomaly(steps=100)], steps=3)
    trainer.model.skip_weights.requires_grad_(False)
    trainer.fit()
    assert [e.facts["names"] for e in trainer.listeners[0].of("anomaly")] == [("skip_weights",)]
    trainer = rig(hooks=[anomaly()], steps=8)
    trainer.fit()
    assert not trainer.listeners[0].of("anomaly")


def test_what_waits_for_its_route_is_not_dead():
    hook = anomaly(steps=2)
    trainer = rig(hooks=[hook], words=DELAYED)
    trainer.loss_nats = 2.0
    names = list(trainer.model.routes)
    assert trainer.model.active == names[0] != names[-1]
    for parameter in trainer.model.parameters():
        parameter.grad = None
    for _ in range(5):
        trainer.step += 1
        hook.after_step(trainer)
    assert not trainer.listeners[0].of("anomaly")
    trainer.model.use(names[-1])
    hook.after_switch(trainer, {})
    trainer.step += 2
    hook.after_step(trainer)
    assert [e.facts["kind"] for e in trainer.listeners[0].of("anomaly")] == ["dead"]


def test_it_goes_on_from_its_state():
    calm, hook = [2.0, 2.1, 1.9, 2.05, 1.95], anomaly()
    told(calm, hook)
    other = anomaly()
    other.restore(hook.state())
    assert other.state() == hook.state()
    assert told([5.0], other) == [(1, 5.0)]


@pytest.mark.parametrize("clip", [0.3, None])
def test_the_parameter_whose_gradient_is_no_number_is_named_though_all_weights_are_none_soon(clip):
    trainer = rig(hooks=[anomaly()], steps=3)
    object.__setattr__(trainer.plan, "grad_clip", clip)
    weight = trainer.model.layers[1].mlp.down.weight
    weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match="the loss became nan at step 2; the weights of step 0"):
        trainer.fit()
    first, *_ = trainer.listeners[0].of("anomaly")
    assert first.step == 1 and first.facts["names"] == ("layers.1.mlp.down.weight",)
    assert "gradient is no number at step 1: layers.1.mlp.down.weight" in first.text
