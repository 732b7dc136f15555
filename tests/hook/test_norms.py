"""Norms are those of the definitions, and looking changes nothing."""

import pytest
import torch

from pgolf.hook.norms import Norms
from pgolf.train.replicas import ALONE
from tests.optimizer.sharding import pair
from tests.ranks import Forked, replicas
from tests.train.rig import rig


def test_norms_are_those_of_their_groups():
    trainer = rig(hooks=[Norms(every=2)], steps=4)
    befores, gradients = [], []
    step, clip = trainer.optimizer.step, torch.nn.utils.clip_grads_with_norm_

    def stepped(*args):
        befores.append({name: p.detach().clone() for name, p in trainer.model.named_parameters()})
        step(*args)

    def clipped(parameters, most, norm):
        parameters = list(parameters)
        clip(parameters, most, norm)
        gradients.append([p.grad.clone() for p in parameters])

    trainer.optimizer.step = stepped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grads_with_norm_", clipped)
        trainer.fit()
    told = trainer.listeners[0].of("norms")
    assert [event.step for event in told] == [2, 4] and all(event.series for event in told)
    specs = trainer.model.param_specs()
    after = {name: p.detach() for name, p in trainer.model.named_parameters()}
    facts = told[-1].facts
    for group in {spec.group for spec in specs.values()}:
        names = [name for name in after if specs[name].group == group]
        moved = torch.cat([(after[name] - befores[-1][name]).flatten() for name in names])
        size = torch.cat([after[name].flatten() for name in names])
        own = torch.cat([g.flatten() for name, g in zip(after, gradients[-1], strict=True) if name in names])
        assert facts[f"update_norm/{group}"] == pytest.approx(float(moved.norm()), rel=1e-5)
        assert facts[f"weight_rms/{group}"] == pytest.approx(float(size.square().mean().sqrt()), rel=1e-5)
        assert facts[f"grad_norm/{group}"] == pytest.approx(float(own.norm()), rel=1e-4)
    whole = torch.cat([g.flatten() for g in gradients[-1]]).norm()
    assert facts["grad_norm"] == pytest.approx(float(whole), rel=1e-5)


def test_the_first_step_is_seen_and_looking_changes_nothing():
    plain, watched = rig(steps=3), rig(hooks=[Norms(every=1)], steps=3)
    expected, found = plain.fit(), watched.fit()
    assert [event.step for event in watched.listeners[0].of("norms")] == [1, 2, 3]
    assert all(torch.equal(value, found.state[name]) for name, value in expected.state.items())


def told_with(option, found):
    trainer = pair.trainer_with(option, found, steps=2)
    trainer.hooks.append(Norms(every=1))
    trainer.fit()
    return [event.facts for event in trainer.listeners[0].of("norms")]


@pytest.mark.parametrize(("option", "without"), [("index", set()), ("banks", {"grad_norm", "grad_norm/matrix"})])
def test_two_processes_tell_the_norms_of_one_but_for_those_that_no_process_has(option, without, tmp_path):
    expected = told_with(option, ALONE)
    work = lambda found: told_with(option, found)  # noqa: E731 - it is called here
    for told in Forked(work, tmp_path / "meeting", join=replicas(60.0)).answers():
        assert told == [
            {name: pytest.approx(norm, rel=1e-4) for name, norm in facts.items() if name not in without}
            for facts in expected
        ]
