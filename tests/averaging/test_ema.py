"""The average follows its closed form, starts from the run and not from the initial weights."""

import torch

from pgolf.averaging.ema import EMA
from tests.train.rig import rig


def test_the_shadow_of_constant_weights_is_those_weights():
    trainer = rig(hooks=[EMA(decay=0.9)], steps=6)
    trainer.optimizer.step = lambda lr_scale, progress: None
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    result = trainer.fit()
    for name, value in before.items():
        torch.testing.assert_close(result.state[name], value)


def test_the_shadow_equals_the_recursion_with_a_warmed_up_decay():
    trainer = rig(steps=5)
    seen = [{k: v.clone() for k, v in trainer.model.state_dict().items()}]
    ema = EMA(decay=0.5)
    watch = type(
        "Watch",
        (EMA,),
        {
            "after_step": lambda s, t: seen.append({k: v.clone() for k, v in t.model.state_dict().items()}),
            "at_start": lambda s, t: None,
        },
    )
    trainer.hooks = [ema, watch(decay=0.5)]
    result = trainer.fit()
    for name in result.state:
        shadow = seen[0][name].double()
        for t in range(1, 6):
            decay = min(0.5, (1 + t) / (10 + t))
            shadow = decay * shadow + (1 - decay) * seen[t][name].double()
        torch.testing.assert_close(result.state[name].double(), shadow, rtol=1e-5, atol=1e-7)


def test_the_exported_state_is_the_average_and_not_the_last_step():
    trainer = rig(hooks=[EMA(decay=0.99)], steps=8)
    result = trainer.fit()
    live = trainer.model.state_dict()
    assert any(not torch.equal(result.state[k], live[k]) for k in live)
