from functools import partial

import numpy as np
import pytest

from pgolf.core.errors import ConfigError
from tests.mixer.properties import hold_for, mixer, positions

SETTINGS = {"signal": "order", "base": 0.05, "span": 0.5, "slope": 2.0, "centre": 1.2, "low": 0.5, "high": 1.0}


def confidence(experts, most=None):
    return mixer({"_target_": "pgolf.mixer.confidence.Confidence", **SETTINGS, "most": most}, experts)


@pytest.mark.parametrize(("experts", "constant"), [(1, None), (2, None), (1, 4.0)])
def test_rows_are_the_formulas_with_the_largest_value_up_to_each_position_or_a_constant(experts, constant, monkeypatch):
    row_IV = hold_for(partial(confidence, most=constant), monkeypatch, experts=experts)
    rows_IEV, signals, _ = positions(experts)
    most_I = np.maximum.accumulate(signals["order"]) if constant is None else np.full(len(row_IV), constant)
    share_I = (0.05 + 0.5 / (1 + np.exp(-2 * (signals["entropy"] - 1.2)))) * (0.5 + signals["order"] / most_I)
    share_I1 = np.minimum(share_I, 1)[:, None]
    expected_IV = (1 - share_I1) * rows_IEV[:, 0] + share_I1 * rows_IEV[:, 1:].mean(1)
    np.testing.assert_allclose(row_IV, expected_IV, rtol=1e-5)
    assert constant is not None or most_I[0] < most_I[-1]


def test_without_experts_there_is_nothing_to_mix():
    with pytest.raises(ConfigError, match="mixer: confidence has nothing to mix with the network's row"):
        confidence(0)
