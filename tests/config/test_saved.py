"""Two saved configs differ in what would be typed, and in nothing that only steers."""

import pytest

from pgolf.config.compose import read_config, to_yaml
from pgolf.config.saved import differences, holds, read_saved, value_at
from pgolf.config.schema import with_defaults
from pgolf.core.errors import ConfigError, RunError
from tests.helpers import tiny_settings
from tests.report.making import config


def test_a_config_older_than_a_group_has_that_groups_none(tmp_path):
    cfg = {key: value for key, value in tiny_settings().items() if key != "warm_start"}
    old = cfg | {"choices": {key: value for key, value in cfg["choices"].items() if key != "warm_start"}}
    (tmp_path / "config.yaml").write_text(to_yaml(old))
    found = read_config(tmp_path / "config.yaml")
    assert found["warm_start"] == tiny_settings()["warm_start"] and found["choices"]["warm_start"] == "none"
    (tmp_path / "config.yaml").write_text(to_yaml({key: value for key, value in old.items() if key != "mixer"}))
    assert "mixer" not in read_config(tmp_path / "config.yaml")


def shown(a, b):
    return [(one.key, one.old, one.new) for one in differences(a, b)]


def test_what_only_steers_and_the_seed_are_no_difference():
    assert shown(config(), config(seed=7, run_root="/else", notes="x", machine={"hardware": "other"})) == []


def test_a_number_written_in_two_ways_is_no_difference():
    assert shown(config(optimizer__matrix_lr=1), config(optimizer__matrix_lr=1.0)) == []
    assert shown(config(optimizer__matrix_lr=1), config(optimizer__matrix_lr=True)) != []


def test_an_option_stands_for_what_lies_in_it():
    changed = config(choices__mixer="tree", mixer={"_target_": "x", "rate": 0.1}, optimizer__matrix_lr=0.03)
    assert shown(config(), changed) == [("mixer", "none", "tree"), ("optimizer.matrix_lr", "0.02", "0.03")]
    assert [str(one) for one in differences(config(), changed)] == ["mixer=tree", "optimizer.matrix_lr=0.03"]


def test_keys_that_only_one_has_are_differences():
    more = config(arch__addons={"xsa": {"rate": 1}})
    assert shown(config(), more) == [("arch.addons", "{}", "-"), ("arch.addons.xsa.rate", "-", "1")]
    assert str(differences(more, config())[0]) == "~arch.addons.xsa.rate"


def test_a_word_holds_however_its_number_is_written():
    cfg = config()
    for word in ("mixer=none", "arch/mlp=relu2", "optimizer.matrix_lr=2.0e-2", "optimizer.matrix_lr=0.020", "+seed=1"):
        assert holds(cfg, word), word
    for word in ("mixer=tree", "optimizer.matrix_lr=0.2", "nothing=1", "optimizer.nothing.at=1"):
        assert not holds(cfg, word), word
    assert value_at(cfg, "arch.qk_gain") == "1.5" and value_at(cfg, "arch.none") is None
    with pytest.raises(ConfigError):
        holds(cfg, "mixer")


def test_a_composed_config_is_read_back_as_it_was_saved(tmp_path):
    cfg = tiny_settings()
    (tmp_path / "config.yaml").write_text(to_yaml(cfg))
    assert differences(cfg, read_saved(tmp_path / "config.yaml")) == []
    other = tiny_settings("arch/mlp=gated")
    assert shown(cfg, other)[0][0] == "arch/mlp"


@pytest.mark.parametrize(
    "text", ["", "a: [", "- 1", "choices: 3", "choices: {}\nsize: 1", "\x00", "a: !!python/object:x 1"]
)
def test_a_file_that_no_run_saved_is_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=r"config\.yaml"):
        read_saved(tmp_path / "config.yaml")


def test_a_config_of_an_older_version_gets_the_defaults_of_what_steers_and_keeps_its_own():
    cfg = tiny_settings("cache_dir=elsewhere")
    older = {key: value for key, value in cfg.items() if key not in ("resume", "eval_ranks", "certify")}
    older["train"] = {key: value for key, value in cfg["train"].items() if key != "threads"}
    found = with_defaults(older)
    assert {key: found[key] for key in ("resume", "eval_ranks", "cache_dir")} == {
        "resume": False,
        "eval_ranks": 1,
        "cache_dir": "elsewhere",
    }
    assert found["train"]["threads"] is None and "certify" not in found
    assert all(found["train"][key] == value for key, value in older["train"].items())
