from dataclasses import replace

import pytest

from pgolf.artifact.container import decode, encode
from pgolf.artifact.ledger import artifact_record, ledger_table, ledger_text
from pgolf.core.results import Artifact


@pytest.fixture
def loaded(state, header, compressor):
    return decode(encode(header, state, b"tokenizer " * 30, compressor))


def record(loaded, cap_bytes=1_000_000, counts_tokenizer=True):
    caps = {"cap_bytes": cap_bytes, "counts_tokenizer": counts_tokenizer}
    return artifact_record("a.pgolf", loaded, bytes_code=42_912, code_sha256="ab" * 32, **caps)


def test_parts_add_up_to_the_total(loaded):
    artifact = record(loaded)
    assert artifact.bytes_total == artifact.bytes_weights + artifact.bytes_code + artifact.bytes_tokenizer
    assert artifact.bytes_weights + artifact.bytes_tokenizer == sum(loaded.bytes_by_role.values())
    assert artifact.sha256 == loaded.sha256
    assert artifact.code_label == "bundle"


def test_uncounted_tokenizer_is_shown_but_not_added(loaded):
    counted, free = record(loaded), record(loaded, counts_tokenizer=False)
    assert counted.bytes_total - free.bytes_total == free.bytes_tokenizer > 0
    assert ledger_table(free)[-1] == ("tokenizer (not counted)", free.bytes_tokenizer)
    assert "not counted" in ledger_text(free)


def test_table_lists_every_part_and_ends_in_their_sum(loaded):
    rows = ledger_table(record(loaded))
    assert {"mlp", "embedding", "scales", "small", "header", "tokenizer", "code (bundle)"} < {row[0] for row in rows}
    assert rows[-1] == ("total", sum(size for _, size in rows[:-1]))


def test_the_cap_itself_is_within_and_one_byte_more_is_over(loaded):
    total = record(loaded).bytes_total
    assert [record(loaded, cap_bytes=cap).over_by for cap in (total + 1, total, total - 1)] == [0, 0, 1]


def test_the_text_names_what_is_over_and_the_parts():
    artifact = Artifact(
        path="a.pgolf",
        bytes_total=1_004_312,
        bytes_weights=951_200,
        bytes_code=42_912,
        bytes_tokenizer=10_200,
        bytes_by_role={},
        cap_bytes=1_000_000,
        counts_tokenizer=True,
        code_label="bundle",
        sha256="",
        code_sha256="",
    )
    assert ledger_text(artifact) == (
        "artifact: 1,004,312 bytes, 4,312 over the 1,000,000 budget (weights 951,200 + code 42,912 + tokenizer 10,200)."
    )
    packed = replace(artifact, bytes_weights=911_200, bytes_packed=40_000)
    assert "(weights 911,200 + packed counts 40,000 + code 42,912 + tokenizer 10,200)" in ledger_text(packed)
