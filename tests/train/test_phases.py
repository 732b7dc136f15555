"""Phases beside each other: each fires once, at its stated step, by steps and by a clock; a warm-up leaves no trace."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.run import rules
from pgolf.train.trainer import Hook
from pgolf.train.warmup import warm_up
from tests.train.test_resume import BY_SECONDS, BY_STEPS, TINY, check, composed, dataset, started  # noqa: F401 - a fixture

# Of 12 steps or seconds, one batch a second: a step that begins after n of them has a learning rate of 1 - n/12.
COMBINED = {
    "straight_through": (
        *("arch/recurrence=mini", "arch.recurrence.start=0.25", "arch/mlp=polyglu_routed"),
        *(
            "qat=ste",
            "qat.start_lr_scale=0.5",
            "averaging=half_half",
            "averaging.every_steps=2",
            "averaging.every=null",
        ),
        *("averaging.start_lr_scale=0.5", "curriculum=growing", "curriculum.starts=[0,0.5]"),
        *("auxiliary=[encoder,multi_token]", "auxiliary.multi_token.heads=own"),
    ),
    "projected": (
        *("arch/recurrence=segment_loop", "arch.recurrence.starts=[0.25,0.75]"),
        *("qat=projected", "qat.start_lr_scale=0.5", "averaging=swa", "averaging.start_lr_scale=0.5"),
        *("averaging.every=0.25", "auxiliary=[multi_token]"),
    ),
    "crown_q": (
        *("arch/recurrence=mini", "arch.recurrence.start=null", "arch.recurrence.start_step=5"),
        *("qat=crown_q", "qat.start_lr_scale=0.5", "auxiliary=[encoder]", "curriculum=growing"),
        *("curriculum.starts=[0,0.3]", "curriculum.window_divisors=[1,1]", "curriculum.batch_divisors=[2,1]"),
    ),
}
MOMENTS = {
    "straight_through": {"recurrence": [3], "late_qat": [7], "curriculum": [6]},
    "projected": {"recurrence": [3, 9], "late_qat": [7]},
    "crown_q": {"recurrence": [5], "late_qat": [7], "curriculum": [4]},
}
AROUND = ("distillation=two_phase", "distillation.teacher.layers=6", "distillation.share=0.25")
BURST = ("hook=[burst,validate,wallclock]", "hook.burst.below_lr_scale=0.5", "hook.burst.reserve=0.2")


class Watch(Hook):
    """What follows the run's progress, after each step."""

    def __init__(self):
        self.temperatures = []

    def after_step(self, trainer):
        taus = [float(m.tau) for m in trainer.model.modules() if getattr(m, "follows_progress", False)]
        self.temperatures.append(taus)


def moments(heard):
    found = {}
    for event in heard.of("switch"):
        found.setdefault(event.facts["what"], []).append(event.step)
    return found


@pytest.mark.parametrize("by", [BY_STEPS, BY_SECONDS], ids=["steps", "seconds"])
@pytest.mark.parametrize("name", COMBINED)
def test_each_phase_fires_once_at_its_stated_step(name, by, dataset):  # noqa: F811
    words = COMBINED[name]
    trainer, heard = started((*by, *words), dataset, seed=0)
    watch = Watch()
    trainer.hooks.append(watch)
    result = trainer.fit()
    trainer.loader.close()
    assert result.steps == 12 and moments(heard) == MOMENTS[name]
    if "arch/mlp=polyglu_routed" in words:
        falling = [1.0 - 0.9 * n / 12 for n in range(1, 13)]
        assert [taus[0] for taus in watch.temperatures] == pytest.approx(falling)
        assert all(len(set(taus)) == 1 for taus in watch.temperatures)
    snapshots = {"straight_through": "half mean of 3 snapshots", "projected": "mean of 2 snapshots"}
    assert result.exported.endswith(snapshots.get(name, "exponential moving average with decay 0.99"))


def flat(state, place=""):
    """Everything in a state, by place, so that two can be compared."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{place}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, value in enumerate(state) for k, v in flat(value, f"{place}.{i}").items()}
    if hasattr(state, "tolist"):
        return {place: state.tolist()}
    return {place: state}


@pytest.mark.parametrize("name", COMBINED)
def test_a_warm_up_leaves_no_trace_of_any_phase_nor_in_random_numbers_nor_in_the_loader(name, dataset):  # noqa: F811
    words = (*BY_STEPS, *COMBINED[name], *AROUND, *BURST)
    cold, _ = started(words, dataset, seed=0)
    warm, heard = started(words, dataset, seed=0)
    torch.manual_seed(5)
    before = flat(warm.state())
    warm_up(warm, 0.0)
    assert flat(warm.state()) == before and heard.of("warmup")
    warmed = warm.fit()
    torch.manual_seed(5)
    expected = cold.fit()
    for trainer in (cold, warm):
        trainer.loader.close()
    assert warmed.steps == expected.steps and warmed.tokens == expected.tokens
    assert all(torch.equal(warmed.state[name], value) for name, value in expected.state.items())


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "crown_q")) for n in COMBINED])
def test_all_of_them_at_once_go_on_to_the_bit(name, dataset, tmp_path):  # noqa: F811
    check((*BY_STEPS, *COMBINED[name], *BURST), dataset, tmp_path, at=[2, 7])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("arch/recurrence=mini", "arch.recurrence.start=null", "arch.recurrence.start_step=12"), "from step 12 on"),
        (("arch/recurrence=mini", "arch.recurrence.start=0.95"), "never begins: recurrence: layers"),
        (("qat=ste", "qat.start=0.95", "qat.start_lr_scale=null"), "never begins: ste: "),
        (("qat=ste", "qat.start_lr_scale=0.05"), "never begins: ste: "),
        (("hook=[burst]", "hook.burst.below_lr_scale=0.05"), "never begins: batches kept for the burst"),
        (("curriculum=growing", "curriculum.starts=[0,0.95]"), "never begins: micro-batches of 2 windows of 16 tokens"),
        (("averaging=swa", "averaging.start_lr_scale=0.05"), "averaging: of 12 steps none leaves a snapshot"),
        (("averaging=swa", "averaging.every_steps=50", "averaging.every=null"), "averaging: of 12 steps none leaves"),
        (("distillation=two_phase", "distillation.share=0.95"), "of 12 steps, 12 before and 0 after it leave none"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_phase_that_fixed_steps_never_reach_is_refused_before_training(words, message):
    with pytest.raises(ConfigError) as caught:
        rules.check(composed(*TINY, *BY_STEPS, "eval.window=16", *words))
    assert len(caught.value.problems) == 1 and message in caught.value.problems[0]
