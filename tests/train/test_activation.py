"""Switches happen once, at the stated moment, are told to averages and to the log, and leave a plain trace."""

import pytest
import torch

from pgolf.averaging.ema import EMA
from pgolf.hook.wallclock import Wallclock
from pgolf.train.activation import Activate
from pgolf.train.trainer import Hook
from pgolf.train.warmup import warm_up
from tests.train.rig import rig

MINI = "arch/recurrence=mini"
TWO = ("arch/recurrence=segment_loop", "arch.recurrence.starts=[0.25,0.5]")
AT_STEP = (MINI, "arch.recurrence.start=null")


class Watch(Hook):
    """What was active in each step, and what was said."""

    def __init__(self, heard):
        self.ran, self.heard, self.copied = [], heard, []

    @property
    def said(self):
        return [(e.facts["state"], e.step, e.facts["route"]) for e in self.heard.of("switch")]

    def after_switch(self, trainer, copied):
        self.copied.append(copied)


def switching(words, steps=8, before=(), after=(), **kwargs):
    """A trainer with the hook as build_trainer adds it, and the watch that listens to it."""
    trainer = rig(steps=steps, words=words, **kwargs)
    watch = Watch(trainer.listeners[0])
    hook = Activate(trainer.model.activations(), trainer.model.routes, steps)
    trainer.hooks = [*before, hook, watch, *after]
    honest = trainer.loss
    trainer.loss = lambda x, y: watch.ran.append(trainer.model.active) or honest(x, y)
    return trainer, watch


@pytest.mark.parametrize(
    "words", [(MINI, "arch.recurrence.start=0.5"), (*AT_STEP, "arch.recurrence.start_step=4")], ids=" ".join
)
def test_a_schedule_is_switched_once_at_its_moment(words):
    trainer, watch = switching(words)
    trainer.fit()
    assert watch.ran == ["plain"] * 4 + ["recurrent"] * 4
    assert watch.said == [("activated", 4, "recurrent")] and len(watch.copied) == 1


def test_a_run_by_seconds_switches_at_its_fraction():
    trainer, watch = switching((MINI, "arch.recurrence.start=0.3"), steps=None, seconds=10.0, after=[Wallclock()])
    trainer.fit()
    assert watch.said == [("activated", 3, "recurrent")]


def test_two_moments_switch_twice_in_order():
    trainer, watch = switching(TWO)
    trainer.fit()
    assert watch.ran == ["plain"] * 2 + ["extra1"] * 2 + ["extra2"] * 4
    assert [step for _, step, _ in watch.said] == [2, 4] and watch.copied == [{}, {}]


def test_a_run_that_ends_before_the_step_says_so():
    trainer, watch = switching((*AT_STEP, "arch.recurrence.start_step=3000"))
    trainer.fit()
    assert trainer.model.active == "plain"
    assert watch.said == [("not_activated", 8, "recurrent")]


def test_nothing_is_switched_after_the_last_step():
    trainer, watch = switching((*AT_STEP, "arch.recurrence.start_step=8"))
    trainer.fit()
    assert trainer.model.active == "plain" and watch.said == [("not_activated", 8, "recurrent")]


def test_own_weights_learn_only_after_the_switch():
    trainer, _ = switching((MINI,))
    zero = []
    own = trainer.model.own_mlps["2_1"].down.weight
    trainer.hooks.insert(0, type("Zero", (Hook,), {"after_step": lambda s, t: zero.append(not own.any())})())
    trainer.fit()
    assert zero == [True] * 4 + [False] * 4
    assert not torch.equal(own, trainer.model.layers[2].mlp.down.weight)


def test_the_average_of_own_weights_starts_as_their_originals_average():
    seen = {}

    class See(Hook):
        def after_switch(self, trainer, copied):
            for own, original in copied.items():
                seen[own] = torch.equal(trainer.average()[own], trainer.average()[original])
                live = trainer.model.state_dict()
                assert torch.equal(live[own], live[original])
                assert not torch.equal(trainer.average()[own], live[own]), "averages lag behind"

    trainer, _ = switching((MINI,), before=[EMA(decay=0.9)], after=[See()])
    result = trainer.fit()
    assert len(seen) == 4 and all(seen.values())
    for name in seen:
        assert result.state[name].any()


def test_tied_halves_keep_one_average():
    trainer, _ = switching((MINI, "arch.recurrence.untie_mlp=down"), before=[EMA(decay=0.9)])
    state = trainer.fit().state
    assert torch.equal(state["own_mlps.2_1.up.weight"], state["layers.2.mlp.up.weight"])
    assert not torch.equal(state["own_mlps.2_1.down.weight"], state["layers.2.mlp.down.weight"])


@pytest.mark.parametrize(
    ("words", "run_steps", "start", "text"),
    [
        ((MINI, "arch.recurrence.start=0.25"), None, 0.25, " 25 – 100 %  recurrence: layers 0 1 2 3 | 2 3 4 5"),
        ((*AT_STEP, "arch.recurrence.start_step=5"), 20, 0.25, "from step 5  recurrence: layers"),
        ((*AT_STEP, "arch.recurrence.start_step=3000"), None, 0.0, "from step 3,000  recurrence"),
    ],
)
def test_switches_are_listed_among_the_phases(words, run_steps, start, text):
    model = rig(words=words).model
    (phase,) = Activate(model.activations(), model.routes, run_steps).phases()
    assert phase.start == start and text in str(phase) and phase.switch


@pytest.mark.slow  # without another route: tests/qat/test_ste.py
def test_after_the_warm_up_no_step_of_a_switching_run_compiles_anything():
    torch._dynamo.reset()
    words = ("arch.layers=2", MINI, "arch.recurrence.recurrent_layers=[0]")
    trainer, watch = switching(words, steps=4)
    trainer.loss = torch.compile(trainer.model.loss, fullgraph=True, backend="aot_eager", dynamic=False)
    warm_up(trainer, 0.0)
    with torch._dynamo.config.patch(error_on_recompile=True):
        trainer.fit()
    assert watch.said == [("activated", 2, "recurrent")]
    torch._dynamo.reset()
