"""Generated text: the same everywhere, in three splits, and learnable."""

import hashlib
import zlib

from pgolf.data.prepare import silent
from pgolf.data.tiny import Tiny
from pgolf.tokenizer.bytes import Bytes


def tiny():
    return Tiny(document_count=40, document_bytes=2000, text_seed=0)


def test_text_is_pinned():
    text = "".join(text for split in ("train", "dev", "val") for _, text in tiny().documents(split))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "8af9c956c471b8d5"
    assert len(zlib.compress(text.encode(), 9)) < 0.45 * len(text)


def test_prepared_data_holds_exactly_the_documents(tmp_path):
    dataset = tiny().prepare(Bytes(), tmp_path, 10_000, silent)
    assert {split: facts.documents for split, facts in dataset.facts.items()} == {
        "train": 32,
        "dev": 4,
        "val": 4,
    }
    text = "".join(text for _, text in tiny().documents("val"))
    assert dataset.tokenizer.decode(dataset.stream("val")) == text
    assert dataset.target_bytes("val").sum() == len(text.encode()) == dataset.facts["val"].raw_bytes
    assert dataset.stream("val")[0] == 1


def test_other_seed_gives_other_text():
    other = Tiny(document_count=40, document_bytes=2000, text_seed=1)
    assert list(other.documents("val")) != list(tiny().documents("val"))
