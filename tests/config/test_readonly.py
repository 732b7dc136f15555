import pytest

from pgolf.config.compose import compose, settings, to_yaml
from pgolf.config.readonly import read_only


def test_no_level_of_the_finished_config_can_be_changed():
    cfg = read_only(settings(compose()))
    with pytest.raises(TypeError, match="read-only"):
        cfg["seed"] = 1
    with pytest.raises(TypeError, match="read-only"):
        cfg["arch"]["attention"]["qk_gain"] = 9.0
    with pytest.raises(TypeError, match="read-only"):
        cfg["hook"].pop("validate")


def test_it_reads_and_prints_as_the_plain_one():
    plain = settings(compose())
    assert read_only(plain) == plain
    assert to_yaml(read_only(plain)) == to_yaml(plain)
    changed = {**read_only(plain), "seed": 5}
    assert changed["seed"] == 5
