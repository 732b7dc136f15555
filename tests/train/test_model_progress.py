"""Temperatures follow the run from its start to its end, also where the model is compiled."""

import pytest

from pgolf.train.model_progress import ModelProgress
from tests.train.rig import rig

ROUTED = ("arch/mlp=polyglu_routed",)


def taus(trainer):
    return [float(m.tau) for m in trainer.model.modules() if getattr(m, "follows_progress", False)]


def test_the_temperature_falls_linearly_over_the_run():
    trainer = rig(steps=4, words=ROUTED)
    seen = []
    watch = ModelProgress(trainer.model)
    tell = watch._tell
    watch._tell = lambda fraction: (tell(fraction), seen.append((fraction, taus(trainer)[0])))
    trainer.hooks = [watch]
    trainer.fit()
    assert [fraction for fraction, _ in seen] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [tau for _, tau in seen] == pytest.approx([1.0, 0.775, 0.55, 0.325, 0.1])


def test_a_model_without_listeners_has_none():
    assert not ModelProgress(rig(steps=1).model).listeners
