"""First the teacher inside its window, then the student against its closed form; one budget, resumed to the bit."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from pgolf.bundle.script import make_bundle
from pgolf.core.errors import ConfigError, TrainingError
from pgolf.core.make import make
from pgolf.hook.wallclock import Wallclock
from pgolf.run import rules
from pgolf.train.trainer import Hook
from pgolf.train.warmup import warm_up
from tests.helpers import ids, randomise, tiny_model, tiny_settings
from tests.train.rig import rig

WORDS = ("distillation=two_phase", "distillation.teacher.layers=2")


def settings(*words):
    return tiny_settings(*WORDS, *words)


def teaching(*words, hooks=(), **kwargs):
    """A trainer whose model has a teacher, attached as ``build_trainer`` attaches it, and the hook that trains it."""
    trainer = rig(**kwargs)
    distillation = make(settings(*words)["distillation"])
    (hook,) = distillation.attach(trainer.model, tiny_model("arch.layers=2", seed=7))
    trainer.hooks = [*hooks, hook, *trainer.hooks]
    return trainer, hook


class Rests(Hook):
    """States by teacher steps and steps, as a checkpoint would take them."""

    def __init__(self):
        self.states = {}

    def at_rest(self, trainer):
        state = trainer.state()
        teacher = next(saved for saved in state["hooks"] if "teacher" in saved)
        self.states[teacher["step"], trainer.step] = state


@pytest.mark.parametrize("mix", ["added", "blended"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_students_loss_is_the_closed_form(mix, direction):
    trainer, hook = teaching(f"distillation.mix={mix}", f"distillation.direction={direction}", steps=1, before=1.0)
    student, teacher = trainer.model.train(), hook.teacher
    randomise(student)
    randomise(teacher, seed=1)
    x, y = ids(), ids(seed=1)
    with torch.no_grad():
        found = student.loss(x, y)
        s, t = (F.log_softmax(model.logits(x).double() / 2.0, -1) for model in (student, teacher))
        pair = (s, t) if direction == "forward" else (t, s)  # kl_div(q, p) is KL(p‖q)
        kl = F.kl_div(*pair, reduction="none", log_target=True).sum(-1).mean()
        ce = F.cross_entropy(student.logits(x).flatten(0, 1), y.flatten())
    expected = (0.5 if mix == "blended" else 1.0) * ce + 0.5 * 4 * kl
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    student.eval()
    assert student.loss(x, y).item() == pytest.approx(ce.item(), rel=1e-6), "in evaluation there is no term"


def test_no_gradient_and_no_parameter_of_the_teacher_reaches_the_student():
    trainer, hook = teaching(steps=3, before=3.0)
    names = set(tiny_model().state_dict())
    assert set(trainer.model.state_dict()) == names
    taught = {}
    watch = type("Watch", (Hook,), {"after_step": lambda s, t: taught.update(hook.teacher.state_dict())})
    trainer.hooks.append(watch())
    before = {}
    trainer.hooks.append(
        type("See", (Hook,), {"before_steps": lambda s, t: before.update(copy.deepcopy(hook.teacher.state_dict()))})()
    )
    result = trainer.fit()
    assert set(result.state) == names
    assert all(torch.equal(taught[name], value) for name, value in before.items()), "frozen once it is done"
    assert all(p.grad is None for p in hook.teacher.parameters())
    assert trainer.model.terms == () and not hook.term.teacher, "discarded"


def test_fixed_steps_are_shared_and_each_phase_has_its_own_schedule():
    trainer, hook = teaching("distillation.warmdown=0.5", steps=4, before=6.0)
    rates, scales = [], []
    taken = hook.optimizer.step
    hook.optimizer.step = lambda: rates.append(hook.optimizer.param_groups[0]["lr"]) or taken()
    trainer.hooks.append(type("See", (Hook,), {"after_step": lambda s, t: scales.append(t.lr_scale)})())
    result = trainer.fit()
    assert rates == pytest.approx([1e-3] * 4 + [1e-3 * 2 / 3, 1e-3 / 3])
    assert scales == pytest.approx([trainer.schedule.foreseen(n / 4) for n in range(4)])
    assert (hook.step, result.steps) == (6, 4) and trainer.loader.position == 10


def test_by_the_clock_both_phases_together_are_no_longer_than_the_budget():
    trainer, hook = teaching(seconds=8.0, before=5.0, hooks=[Wallclock()])
    result = trainer.fit()
    assert hook.seconds <= 5.0 and result.seconds <= 13.0 and result.seconds == hook.seconds + trainer.clock.elapsed
    assert (hook.step, result.steps) == (5, 8)
    assert [e.facts["teacher_steps"] for e in trainer.listeners[0].of("teacher_step")] == [1, 2, 3, 4, 5]


def test_a_window_shorter_than_a_step_is_taken_from_the_student():
    trainer, hook = teaching(seconds=8.0, before=0.25, hooks=[Wallclock()])
    result = trainer.fit()
    assert (hook.step, trainer.seconds_before) == (1, 0.25)
    assert result.seconds == 1.0 + result.steps <= 8.25, "what goes beyond counts once"


def test_the_teacher_is_plain_adamw_on_clipped_gradients():
    trainer, hook = teaching(steps=1, before=2.0)
    twin = copy.deepcopy(hook.teacher).train().requires_grad_(True)
    batches = [trainer.loader.next_batch() for _ in range(2)]
    trainer.loader.restore({"position": 0})
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1e-3, weight_decay=0.04)
    for x, y in batches:
        optimizer.zero_grad()
        twin.loss(x, y).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
    trainer.fit()
    for found, expected in zip(hook.teacher.parameters(), twin.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_run_goes_on_to_the_bit_from_either_phase_and_a_warm_up_leaves_no_trace():
    def run(resume=None, warmed=False, seed=0):
        rests = Rests()
        trainer, _ = teaching(steps=4, before=3.0, hooks=[rests], seed=seed)
        if warmed:
            warm_up(trainer, 0.0)
        return trainer.fit(resume), rests.states

    expected, states = run()
    assert set(states) == {(1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)}
    for place in ((1, 0), (3, 0), (3, 2)):
        result, _ = run(copy.deepcopy(states[place]), seed=1)
        assert (result.steps, result.tokens, result.seconds) == (expected.steps, expected.tokens, expected.seconds)
        assert all(torch.equal(result.state[name], value) for name, value in expected.state.items()), place
    warmed, _ = run(warmed=True)
    assert all(torch.equal(warmed.state[name], value) for name, value in expected.state.items())


def test_a_teacher_that_diverges_ends_the_run_with_the_reason():
    trainer, hook = teaching(steps=4, before=3.0)
    honest = hook.loss
    hook.loss = lambda x, y: honest(x, y) * (math.nan if hook.step == 1 else 1.0)
    with pytest.raises(TrainingError, match=r"the teacher's loss became nan at its step 2; a smaller distillation.lr"):
        trainer.fit()


def test_both_graphs_are_compiled_in_the_warm_up():
    torch._dynamo.reset()
    trainer, hook = teaching("distillation.teacher.layers=2", steps=2, before=2.0, words=("arch.layers=2",))

    def compiler(part):
        return torch.compile(part, fullgraph=True, backend="eager", dynamic=False)

    hook.compile_model_part(compiler)
    trainer.loss = compiler(trainer.model.loss)
    warm_up(trainer, 0.0)
    with torch._dynamo.config.patch(error_on_recompile=True):
        trainer.fit()
    torch._dynamo.reset()


def refusal(cfg):
    with pytest.raises(ConfigError) as caught:
        rules.check(cfg)
    return caught.value.problems


def test_a_teacher_larger_than_memory_is_refused_before_training(monkeypatch):
    cfg = settings()
    monkeypatch.setattr(rules, "free_memory", lambda device: 10**9)
    rules.check(cfg)
    monkeypatch.setattr(rules, "free_memory", lambda device: None)
    rules.check(cfg)
    monkeypatch.setattr(rules, "free_memory", lambda device: 10**6)
    (problem,) = refusal(cfg)
    assert problem.startswith("distillation.teacher: ") and "0.00 GB are free on cpu" in problem


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("+distillation.teacher.widht=3",), "distillation.teacher.widht: arch takes "),
        (("+distillation.teacher.width=31",), "distillation.teacher: "),
        (("+distillation.teacher.mlp_hidden=big",), "distillation.teacher.mlp_hidden: 'big' is not a whole number"),
        (("+distillation.teacher.attention.kernl=3",), "distillation.teacher.attention.kernl: "),
        (("budget.train_steps=1",), "budget.train_steps: of 1 steps, 1 before and 0 after it leave none"),
        (("distillation.share=1",), "distillation.share: 1 is out of range"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused_before_training(words, message):
    assert any(message in problem for problem in refusal(settings(*words)))


def test_a_teacher_may_have_an_arch_of_its_own():
    cfg = copy.deepcopy(settings())
    own = tiny_settings("arch=mamba_hybrid")["arch"]
    cfg["distillation"]["teacher"] = own
    rules.check(cfg)
    assert make(cfg["distillation"]).teacher(cfg["arch"]) == own


def test_changes_go_all_the_way_down_and_leave_the_rest():
    cfg = settings("+distillation.teacher.attention.qk_gain=3.0")
    teacher = make(cfg["distillation"]).teacher(cfg["arch"])
    assert teacher["layers"] == 2 and teacher["attention"]["qk_gain"] == 3.0
    assert {**teacher, "layers": 0, "attention": 0} == {**cfg["arch"], "layers": 0, "attention": 0}


def test_the_preset_is_the_scripts_form():
    node = tiny_settings("size=record", "distillation=pr687")["distillation"]
    assert (node["mix"], node["direction"], node["alpha"], node["temperature"]) == ("added", "forward", 0.5, 2.0)
    assert (node["lr"], node["weight_decay"], node["grad_clip"], node["warmdown"]) == (1e-3, 0.04, 1.0, 0.0)
    assert node["teacher"] == {"layers": 13}


def test_only_a_run_that_distils_carries_what_distils():
    assert "pgolf.distillation.teaching" in make_bundle(settings("data=tiny", "tokenizer=bytes")).sources
    assert "pgolf.distillation.teaching" not in make_bundle(tiny_settings("data=tiny", "tokenizer=bytes")).sources
