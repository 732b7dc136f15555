import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from tests.mixer.properties import hold_for, mixer, positions


def stage(experts, share=0.3):
    return mixer({"_target_": "pgolf.mixer.fixed.Fixed", "share": share}, experts)


@pytest.mark.parametrize("experts", [1, 3])
def test_rows_are_a_fixed_sum(experts, monkeypatch):
    row_IV = hold_for(stage, monkeypatch, experts=experts)
    rows_IEV = positions(experts).rows_IEV.astype(np.float64)
    np.testing.assert_allclose(row_IV, 0.7 * rows_IEV[:, 0] + 0.3 * rows_IEV[:, 1:].mean(1), rtol=1e-6)


def test_without_experts_there_is_nothing_to_mix():
    with pytest.raises(ConfigError, match="mixer: fixed has nothing to mix with the network's row"):
        stage(0)
