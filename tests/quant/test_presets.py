from pathlib import Path

import pytest
import yaml

from pgolf.config.make import make

CONF = Path(__file__).parents[2] / "conf" / "quant"


def composed(name):
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    for parent in node.pop("defaults", []):
        if parent != "_self_":
            node = composed(parent) | node
    return node


@pytest.mark.parametrize(
    ("name", "bits", "embedding_bits"), [("rtn", 8, 8), ("int8_rtn", 8, 8), ("int6_rtn", 6, 8)]
)
def test_presets_build_the_technique_they_name(name, bits, embedding_bits):
    quantizer = make(composed(name))
    assert (quantizer.bits, quantizer.embedding_bits, quantizer.scale_floor) == (
        bits,
        embedding_bits,
        "smallest_normal",
    )


def test_none_builds():
    make(composed("none"))
