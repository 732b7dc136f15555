from importlib import import_module

import pytest

from pgolf import tokenizer as package
from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob, kinds, pack

DROPPED_IN = """
class Reversed:
    kind = "dropped_in"
    def __init__(self, body):
        self.body = body
    @classmethod
    def from_parts(cls, header, body):
        return cls(body[::-1])
"""


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_is_a_module_with_the_class_that_says_so(kind):
    module = import_module(f"pgolf.tokenizer.{kind}")
    (cls,) = (v for v in vars(module).values() if isinstance(v, type) and vars(v).get("kind") == kind)
    assert callable(cls.from_parts) and callable(cls.to_blob)


def test_a_module_put_into_the_package_is_a_kind(monkeypatch, tmp_path):
    (tmp_path / "dropped_in.py").write_text(DROPPED_IN)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert "dropped_in" in kinds()
    assert from_blob(pack({"kind": "dropped_in"}, b"abc")).body == b"cba"


@pytest.mark.parametrize("kind", ["", "blob", "model_proto", "../bpe", "bpe.BPETokenizer", "BPE", "os"])
def test_what_is_no_kind_is_refused_by_name(kind):
    with pytest.raises(DataError, match=r"unknown kind .*known are bpe, bytes"):
        from_blob(pack({"kind": kind}, b""))


@pytest.mark.parametrize("kind", [3, None, ["bpe"]])
def test_a_kind_that_is_no_text_makes_no_blob(kind):
    with pytest.raises(DataError, match="these bytes are no tokenizer blob"):
        from_blob(pack({"kind": kind}, b""))
