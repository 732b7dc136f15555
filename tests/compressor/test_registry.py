import sys
from pathlib import Path

import pytest

from pgolf import compressor as package
from pgolf.compressor.registry import codecs, decoder
from pgolf.config.compose import compose, settings
from pgolf.core.errors import ArtifactError
from pgolf.core.make import make
from tests.compressor.contract import pack, plain

CONF = Path(__file__).parents[2] / "conf" / "compressor"


def composed(name):
    return make(settings(compose([f"compressor={name}"]))["compressor"])


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_compressor_is_decoded_by_its_codec_id_alone(name):
    compressor = composed(name)
    raw = b"weights and more weights " * 40
    assert decoder(compressor.codec_id)(pack(compressor, raw), len(raw), plain(raw)) == raw


def test_every_codec_has_an_option():
    assert set(codecs()) == {composed(path.stem).codec_id for path in CONF.glob("*.yaml")}


def test_unknown_codec_is_named_with_the_choices():
    with pytest.raises(ArtifactError, match=r"'brotly'.*zlib.*Did you mean 'brotli'"):
        decoder("brotly")


def test_a_module_put_into_the_package_is_a_codec(monkeypatch, tmp_path):
    (tmp_path / "dropped_in.py").write_text("def decode(packed, raw_length, layout):\n    return packed[::-1]\n")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert "dropped_in" in codecs()
    assert decoder("dropped_in")(b"abc", 3, plain(b"abc")) == b"cba"


@pytest.mark.parametrize("name", ["", "registry", "range_kernels", "../zlib", "zlib.x", "os", "Zlib", "zlib\0", "é"])
def test_names_that_are_no_codec_are_refused_before_anything_is_imported(name):
    with pytest.raises(ArtifactError, match="unknown codec"):
        decoder(name)


def test_a_script_that_carries_one_codec_says_so_of_others(monkeypatch):
    monkeypatch.setattr(package, "__path__", [])  # as the packages of a counted script have it
    monkeypatch.delitem(sys.modules, "pgolf.compressor.zlib", raising=False)
    assert codecs() == []
    with pytest.raises(ArtifactError, match=r"unknown codec 'zlib'.*only those of this script's run"):
        decoder("zlib")
