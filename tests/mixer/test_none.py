import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.make import make


def test_one_expert_passes_unchanged_and_two_are_refused():
    mixer = make({"_target_": "pgolf.mixer.none.Single"})
    logp = torch.randn(2, 3, 5)
    assert mixer.combine([logp]) is logp
    mixer.observe([logp])
    assert mixer.fork().combine([logp]) is logp
    with pytest.raises(ConfigError, match="cannot combine 2"):
        mixer.combine([logp, logp])
