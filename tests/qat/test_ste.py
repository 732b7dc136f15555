"""Straight-through training: exported weights forward, identity inside the clip backward, late on time."""

import pytest
import torch

from pgolf.averaging.ema import EMA
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.qat.ste import STE
from pgolf.run.rules import check
from pgolf.train.activation import Activate
from pgolf.train.trainer import Hook
from pgolf.train.warmup import warm_up
from tests.helpers import randomise, tiny_model, tiny_settings
from tests.qat.qats import FALLING, batch, exported, gradients, on_a_known_grid, prepared, quantizer, training
from tests.train.rig import rig, warmdown

CLIPPING = ("quant=int5_rtn", "quant.scale.percentile=0.9")


def full():
    return STE(start=0.0, start_lr_scale=None)


def moved(*words):
    model = tiny_model(*words)
    randomise(model)
    return model


def test_the_loss_is_that_of_the_exported_model():
    model = moved()
    loss = prepared(full(), model=model).loss
    loss.turn_on()
    twin = tiny_model()
    twin.load_state_dict(exported(model))
    kept = {n for n, s in model.param_specs().items() if s.storage.startswith("keep")}
    with torch.no_grad():
        for name in kept:  # float16 where the role says so; training does not model that
            twin.get_parameter(name).copy_(model.get_parameter(name))
    assert torch.equal(loss(*batch()), twin.loss(*batch()))


def test_the_gradient_is_that_of_the_rounded_weights_inside_the_clip_and_zero_outside():
    model = moved(*CLIPPING)
    loss = prepared(full(), *CLIPPING, model=model).loss
    loss.turn_on()
    rounded = {name: value.detach() for name, value in loss.stand_ins().items()}
    found = gradients(model, loss(*batch()))
    twin = tiny_model(*CLIPPING)
    twin.load_state_dict(model.state_dict() | rounded)
    expected = gradients(twin, twin.loss(*batch()))
    clipped = 0
    for name, value in rounded.items():
        weight = model.get_parameter(name).detach()
        top = value.abs().amax(-1, keepdim=True)  # the last point of each row's grid: all rows are clipped
        outside = weight.abs() > top * (1 + 0.5 / (31 if name == "embedding" else 15))
        clipped += int(outside.sum())
        assert torch.equal(found[name], torch.where(outside, 0.0, expected[name])), name
    assert clipped > 100


def test_no_weight_of_a_row_scaled_to_its_maximum_is_cut_off():
    grid_words = ("quant=int5_rtn", "quant.scale.percentile=1.0")
    model = moved(*grid_words)
    for name, replacement in prepared(full(), *grid_words, model=model).loss.replacements.items():
        assert bool(replacement(model.get_parameter(name).detach())[1].all()), name


def test_late_training_begins_at_its_step_and_is_announced():
    trainer, watch = training(STE(start=None, start_lr_scale=0.6), schedule=warmdown(0.5))
    (phase,) = [phase for hook in trainer.hooks for phase in hook.phases()]
    assert abs(phase.start - 0.7) < 1e-6 and "ste: " in phase.description
    trainer.fit()
    assert watch.on == [False] * 6 + [True] * 2 and watch.said == [("enabled", 6, 0.5)]


def test_before_its_start_training_is_that_without_it():
    def states(trainer):
        seen = []

        class Take(Hook):
            def after_step(self, trainer):
                seen.append({k: v.clone() for k, v in trainer.model.state_dict().items()})

        trainer.hooks.append(Take())
        trainer.fit()
        return seen

    plain = rig(steps=4)
    randomise(plain.model)
    plain.schedule = FALLING
    late, _ = training(STE(start=0.5, start_lr_scale=None), steps=4)
    same = [
        all(torch.equal(ours[name], theirs[name]) for name in theirs)
        for ours, theirs in zip(states(late), states(plain), strict=True)
    ]
    assert same == [True, True, False, False]


def test_averaging_averages_the_weights_themselves_and_exports_the_average():
    ema = EMA(decay=0.5)
    trainer, _ = training(full(), steps=5, before=[ema])
    names = list(trainer.model.state_dict())
    result = trainer.fit()
    assert list(result.state) == names
    for name in names:
        assert torch.equal(result.state[name], ema.shadow[name])
    live, rounded = trainer.model.state_dict(), exported(trainer.model)
    matrix = "layers.0.mlp.up.weight"
    assert not torch.equal(live[matrix], rounded[matrix]) and not torch.equal(ema.shadow[matrix], live[matrix])


def test_after_the_warm_up_neither_the_start_nor_a_new_schedule_compiles_anything():
    torch._dynamo.reset()
    words = ("arch.layers=2", "arch/recurrence=mini", "arch.recurrence.recurrent_layers=[0]")
    trainer, watch = training(STE(start=0.25, start_lr_scale=None), steps=4, words=words)
    trainer.hooks.append(Activate(trainer.model.activations(), trainer.model.routes, 4))
    watch.loss.compile_model_part(lambda part: torch.compile(part, fullgraph=True, backend="aot_eager", dynamic=False))
    warm_up(trainer, 0.0)
    with torch._dynamo.config.patch(error_on_recompile=True):
        trainer.fit()
    assert watch.said == [("enabled", 1, 0.75)] and trainer.model.active == "recurrent"
    assert watch.on[-4:] == [False, True, True, True]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("quant=none",), "qat=ste: there is no grid"),
        (("qat.start=0.5",), "qat.start, qat.start_lr_scale: 0.5 and 0.15"),
        (("qat.start_lr_scale=1.5",), "qat.start_lr_scale: 1.5 is out of range"),
        (("schedule.floor=0.2",), "0.15 is never passed; the schedule ends at 0.2"),
    ],
)
def test_what_cannot_work_is_refused_before_training(words, text):
    check(tiny_settings(*on_a_known_grid("qat=ste")))
    with pytest.raises(ConfigError, match=text):
        check(tiny_settings(*on_a_known_grid("qat=ste", *words)))


def test_weights_trained_for_one_grid_may_be_stored_on_any():
    check(tiny_settings("qat=ste", "quant=none"), trains=False)


def test_presets_are_late_and_full():
    assert make(tiny_settings("qat=ste")["qat"]).start is None
    assert make(tiny_settings("qat=ste_full")["qat"]).start == 0.0


def test_ternary_weights_can_be_trained_through_their_export():
    words = ("quant=ternary",)
    model = moved(*words)
    loss = full().prepare(model, quantizer(*words), FALLING).loss
    loss.turn_on()
    name = "layers.0.mlp.up.weight"
    assert len(loss.stand_ins()[name].unique()) > 2
    assert torch.equal(loss.stand_ins()[name], exported(model, *words)[name])
    assert gradients(model, loss(*batch()))[name].any()
