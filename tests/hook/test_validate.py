from types import SimpleNamespace

from pgolf.hook.validate import Validate
from tests.train.rig import rig


def test_validations_happen_at_even_fractions_outside_the_clock():
    hook = Validate(times=3, dev_tokens=100)
    seen = []
    trainer = rig(hooks=[hook], steps=40)

    def measure(state, tokens):
        trainer.loader.time.now += 1000.0
        return SimpleNamespace(val_bpb=1.0)

    hook.connect(measure, lambda t, score: seen.append(t.step))
    result = trainer.fit()
    assert seen == [10, 20, 30]
    assert result.seconds == 40.0
