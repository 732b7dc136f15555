"""Sizes are those of the streams that the model itself makes, by visit; and looking changes nothing."""

import pytest
import torch

from pgolf.arch.activations import activation_rms
from pgolf.hook.activations import Activations
from tests.helpers import VOCAB, tiny_model
from tests.train.rig import rig

REPEATED = ("arch/recurrence=mini", "arch.recurrence.start=0.5")


def streams(model, ids_BT):
    """What the model's own recurrence is given behind each block."""
    found, after = [], model.recurrence.after_visit

    def seen(visit, stream, *args):
        found.append((visit, stream))
        return after(visit, stream, *args)

    model.recurrence.after_visit = seen
    with torch.no_grad():
        model.hidden(ids_BT)
    return found


@pytest.mark.parametrize("words", [(), ("arch=parallel_recur",), ("arch=mamba_hybrid",)], ids=str)
def test_each_visit_has_the_size_of_its_stream(words):
    model, ids_BT = tiny_model(*words).eval(), torch.arange(2, 18).remainder(VOCAB)[None]
    model.use(list(model.routes)[-1])
    expected = {}
    found = activation_rms(model, ids_BT)
    for visit, stream in streams(model, ids_BT):
        for lane, x_BTD in enumerate(stream):
            name = f"{visit.virtual}.layer_{visit.physical}" + (f".lane_{lane}" if len(stream) > 1 else "")
            expected[name] = pytest.approx(float((x_BTD**2).mean()) ** 0.5, rel=1e-6)
    assert found == expected and list(found) == list(expected)
    assert len(expected) >= len(model.route.visits) > 1


def test_every_so_many_steps_they_are_told_and_follow_the_route():
    trainer = rig(hooks=[Activations(every=2)], steps=4, words=REPEATED)
    trainer.fit()
    trainer.model.use(list(trainer.model.routes)[-1])
    trainer.hooks[0].after_step(trainer)
    told = trainer.listeners[0].of("activations")
    assert [event.step for event in told] == [2, 4, 4] and all(event.series for event in told)
    assert all(name.startswith("activation_rms/") and value > 0 for name, value in told[0].facts.items())
    assert len(told[0].facts) < len(told[2].facts) == len(trainer.model.route.visits)


def fitted(trainer):
    torch.manual_seed(3)
    return trainer.fit()


def test_looking_changes_nothing():
    words = ("arch/mlp=polyglu_routed",)  # draws random numbers in training
    plain, watched = rig(steps=3, words=words), rig(hooks=[Activations(every=1)], steps=3, words=words)
    expected, found = fitted(plain), fitted(watched)
    assert len(watched.listeners[0].of("activations")) == 3
    assert all(torch.equal(value, found.state[name]) for name, value in expected.state.items())
    assert watched.model.training and "run" not in vars(watched.model.lanes)
