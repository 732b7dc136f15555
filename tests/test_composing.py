"""What the test process remembers of config files changes no composition."""

import os
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from tests import composing
from tests.composing import forgetting

WORDS = [
    (),
    ("size=record", "arch=pr1204", "arch/lanes=p4", "~arch.addons.smear_gate"),
    ("size=tiny", "arch/addon=[canon,xsa]", "quant=int5_gptq", "quant/scale=percentile", "hydra.job.name=x"),
    ("logger=[]", "train.window=64", "+arch.extra='${size.width}'"),
]


@pytest.mark.parametrize("words", WORDS, ids="+".join)
def test_a_remembered_composition_is_the_same_and_the_next_one_too(words):
    with forgetting():
        expected = compose(words)
    for _ in range(2):
        found = compose(words)
        assert found == expected and settings(found) == settings(expected)
        found.size.width, found.hydra.job.name = 1, "changed"  # nobody else's


@pytest.fixture
def conf(tmp_path):
    for path, text in {
        "config.yaml": "defaults: [a: one, '${a}_more', _self_]\nroot: 1\n",
        "a/one.yaml": "x: 1\n",
        "a/two.yaml": "x: 2\n",
        "one_more.yaml": "more: ${a.x}\n",
        "two_more.yaml": "# @package _global_\nmore: two\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def composed(conf, *words):
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        return OmegaConf.to_container(hydra_compose("config", overrides=list(words)), resolve=True)


def test_defaults_that_refer_to_a_choice_follow_it(conf):
    assert composed(conf) == {"a": {"x": 1}, "more": 1, "root": 1}
    assert composed(conf, "a=two") == {"a": {"x": 2}, "more": "two", "root": 1}


def test_a_file_that_changes_is_read_again_and_one_that_comes_is_found(conf):
    assert composed(conf)["a"] == {"x": 1}
    (conf / "a" / "one.yaml").write_text("x: 3\n")
    (conf / "a" / "three.yaml").write_text("x: 4\n")
    (conf / "three_more.yaml").write_text("more: three\n")
    assert composed(conf)["a"] == {"x": 3} and composed(conf, "a=three")["a"] == {"x": 4}


@pytest.fixture
def kept(tmp_path_factory, monkeypatch):
    """Where compositions are kept for this test alone."""
    monkeypatch.setenv(composing.KEPT, "")
    composing.keep(tmp_path_factory.mktemp("kept"))
    return Path(os.environ[composing.KEPT])


@pytest.mark.parametrize("words", [words for words in WORDS if "hydra" not in "".join(words)], ids="+".join)
def test_a_composition_that_was_kept_is_the_same(words, kept, tmp_path, monkeypatch):
    with forgetting():
        expected = compose(words)
    assert compose(words) == expected and len(list(kept.iterdir())) == 1
    monkeypatch.setattr(composing, "_load_configuration", None)
    found = compose(words)
    assert found == expected and settings(found) == settings(expected)
    for key in ("arch", "size", "train", "hydra"):
        assert OmegaConf.get_type(found[key]) is OmegaConf.get_type(expected[key])
        assert OmegaConf.is_struct(found[key]) == OmegaConf.is_struct(expected[key])
    monkeypatch.chdir(tmp_path)
    assert compose(words).hydra.runtime.cwd == str(tmp_path)


def test_words_that_say_more_than_a_composition_of_this_tree_are_not_kept(kept, tmp_path):
    compose([f"run_root={tmp_path}"])
    compose(["hydra.job.name=x"])
    with pytest.raises(ConfigError):
        compose(["arch=nothing"])
    assert not list(kept.iterdir())


def test_another_file_of_what_they_are_made_of_makes_compositions_anew(kept, conf, tmp_path, monkeypatch):
    monkeypatch.setattr(composing, "ROOT", conf.parent)
    monkeypatch.setattr(composing, "_MADE_OF", (f"{conf.name}/**/*.yaml",))
    seen = {kept}
    for text in ("x: 1\n", "x: 3\n", "x: 3 \n"):
        (conf / "a" / "one.yaml").write_text(text)
        composing.keep(kept.parent)
        seen.add(Path(os.environ[composing.KEPT]))
    assert len(seen) == 4 and sum(folder.exists() for folder in seen) == 1
    assert composing._kept_at(os.environ[composing.KEPT], conf.parent)
    assert not composing._kept_at(str(kept), conf.parent), "another tree's"
