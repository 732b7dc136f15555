import numpy as np
import pytest

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from tests.mixer.properties import hold_for, mixer, positions

SETTINGS = {"base": 0.05, "span": 0.6, "slope": 3.0, "centres": [1.2], "multipliers": [1], "most": 1}


def entropy(**changes):
    return {"_target_": "pgolf.mixer.entropy.Entropy", **SETTINGS, **changes}


@pytest.mark.parametrize(
    "changes",
    [{}, {"centres": [1.2, 0.8, 1.5], "multipliers": [0.5, 1, 1, 1.8], "most": 0.7}],
    ids=["one centre", "by order"],
)
def test_rows_are_the_formulas(changes, monkeypatch):
    made, experts = entropy(**changes), 1 + bool(changes)
    row_IV = hold_for(lambda experts: mixer(made, experts), monkeypatch, experts=experts)
    rows_IEV, signals, _ = positions(experts)
    shares = set()
    for rows_EV, row_V, h, order in zip(rows_IEV, row_IV, signals["entropy"], signals["order"], strict=True):
        centre, multiplier = (made[name][min(int(order), len(made[name])) - 1] for name in ("centres", "multipliers"))
        share = min(multiplier * (0.05 + 0.6 / (1 + np.exp(-3 * (h - centre)))), made["most"])
        np.testing.assert_allclose(row_V, (1 - share) * rows_EV[0] + share * rows_EV[1:].mean(0), rtol=1e-5)
        shares.add(round(share, 3))
    assert max(shares) - min(shares) > 0.4


def test_published_settings_are_files():
    """The multiplier of order 5 doubles what its centre gives, up to the cut."""
    made = make(settings(compose(["mixer=entropy_pr809", "ngram=backoff"]))["mixer"])
    assert made.centres[4] == 2.25 and made.multipliers[4:] == [2.0] * 5 and made.settings[3] == 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centres": []}, r"mixer\.centres: \[\] is no list of numbers"),
        ({"multipliers": [1, "two"]}, r"mixer\.multipliers: .* is no list of numbers"),
        ({"multipliers": [-1]}, r"mixer\.multipliers: \[-1\] has one below 0"),
        ({"base": 0.5}, r"mixer\.base: 0\.5 with mixer\.span = 0\.6 is more than a whole row"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(entropy(**changes))


def test_without_experts_there_is_nothing_to_mix():
    with pytest.raises(ConfigError, match="mixer: entropy has nothing to mix with the network's row"):
        mixer(entropy(), 0)
