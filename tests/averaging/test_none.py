"""Without an average the last step's weights are exported, and the record says so."""

import torch

from pgolf.averaging.none import NoAveraging
from tests.train.rig import rig


def test_the_last_steps_weights_are_exported_and_said_to_be():
    trainer = rig(hooks=[NoAveraging()], steps=3)
    result = trainer.fit()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(result.state[name], value)
    assert result.exported == "the last step's weights"
    assert [told.text for told in trainer.listeners[0].of("average")] == ["exported: the last step's weights"]
