from pathlib import Path

import pytest
import yaml

from pgolf.compressor.registry import CODECS, decoder
from pgolf.core.errors import ArtifactError
from pgolf.core.make import make
from tests.compressor.contract import pack, plain

CONF = Path(__file__).parents[2] / "conf" / "compressor"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_compressor_is_decoded_by_its_codec_id_alone(name):
    compressor = make(yaml.safe_load((CONF / f"{name}.yaml").read_text()))
    raw = b"weights and more weights " * 40
    assert decoder(compressor.codec_id)(pack(compressor, raw), len(raw), plain(raw)) == raw


def test_every_codec_has_an_option():
    assert set(CODECS) == {path.stem for path in CONF.glob("*.yaml")}


def test_unknown_codec_is_named_with_the_choices():
    with pytest.raises(ArtifactError, match=r"'brotly'.*zlib.*Did you mean 'brotli'"):
        decoder("brotly")
