"""A value for each size where it is used: ``${by_size:6,6,11}``."""

import pytest
import yaml
from omegaconf import OmegaConf

from pgolf.config.by_size import SIZES, by_size, scales
from pgolf.config.compose import compose, settings
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.config.schema import register
from pgolf.core.errors import ConfigError


def at(size, text):
    register()
    cfg = OmegaConf.create({"size": {"name": size, "width": 32}, "value": text})
    return OmegaConf.to_container(cfg, resolve=True)["value"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("${by_size:6,6,11}", (6, 6, 11)),
        ("${by_size:[4,5],[4,5],[9,10]}", ([4, 5], [4, 5], [9, 10])),
        ("${by_size:0.5,0.5,null}", (0.5, 0.5, None)),
        ("${by_size:a,'b c',d}", ("a", "b c", "d")),
        ("${by_size:1,2,${size.width}}", (1, 2, 32)),
    ],
)
def test_each_size_has_the_value_at_its_place(text, values):
    assert tuple(at(size, text) for size in SIZES) == values


def test_the_sizes_are_files_of_their_names():
    names = {yaml.safe_load((conf_dir() / f"size/{size}.yaml").read_text())["name"] for size in SIZES}
    assert names == set(SIZES) <= set(options(conf_dir(), "size"))


def test_a_value_too_few_is_answered_at_its_key():
    with pytest.raises(ConfigError, match=r"^quant.bits: by_size: 2 values; .* tiny, laptop, record"):
        settings(compose(["quant.bits=${by_size:5,6}"]))


def test_a_name_that_is_no_size_is_answered_with_the_sizes():
    with pytest.raises(ConfigError, match=r"size.name: 'recrd' .* tiny, laptop, record. Did you mean 'record'"):
        settings(compose(["size.name=recrd"]))


def test_a_word_overrides_it_and_the_rest_follow_the_size():
    for size, kv_heads, visits in (("laptop", 1, [4, 5]), ("record", 4, [9, 10])):
        node = settings(compose([f"size={size}", "arch=pr1204", "arch.layers=8"]))["arch"]
        assert (node["layers"], node["kv_heads"]) == (8, kv_heads)
        assert node["addons"]["value_embedding"]["visits"] == visits


def test_what_the_size_gives_is_told_from_other_references():
    node = OmegaConf.create(
        {"a": "${size.window}", "b": "${by_size:1,2,3}", "c": "${budget.cap_bytes}", "d": 5, "e": None}
    )
    assert [key for key in node if scales(node, key)] == ["a", "b"]


def test_the_resolver_itself_takes_one_value_a_size():
    root = OmegaConf.create({"size": {"name": "tiny"}})
    assert by_size("x", "y", "z", _root_=root) == "x"
    with pytest.raises(ConfigError, match="4 values"):
        by_size(1, 2, 3, 4, _root_=root)


def test_no_size_holds_a_published_models_shapes():
    for size in SIZES:
        content = yaml.safe_load((conf_dir() / f"size/{size}.yaml").read_text())
        assert all(not isinstance(value, dict) for value in content.values())
