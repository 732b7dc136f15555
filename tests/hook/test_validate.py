from types import SimpleNamespace

from pgolf.hook.validate import Validate
from tests.train.rig import rig


def test_validations_happen_at_even_fractions_outside_the_clock():
    hook = Validate(times=3, dev_tokens=100)
    trainer = rig(hooks=[hook], steps=40)

    def measure(state, tokens):
        trainer.loader.time.now += 1000.0
        assert tokens == 100 and state.keys() == trainer.model.state_dict().keys()
        return SimpleNamespace(val_bpb=1.0, val_loss=2.0)

    trainer.score_dev = measure
    result = trainer.fit()
    told = trainer.listeners[0].of("dev")
    assert [event.step for event in told] == [10, 20, 30]
    assert all(event.series and event.facts["dev_bpb"] == 1.0 for event in told)
    assert result.seconds == 40.0
