"""The report on an artifact: every part, every compressor, the sums, the margins."""

import re

import numpy as np
import pytest

from pgolf.artifact import container
from pgolf.bench.artifact import ZPAQ
from pgolf.cli.main import main
from pgolf.compressor.brotli import Brotli
from pgolf.compressor.registry import codecs
from pgolf.core.results import QuantizedState, StoredTensor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder with an artifact of 6-bit Gaussian matrices and one kept vector."""
    source = np.random.default_rng(0)
    tensors = [
        StoredTensor(
            f"layers.{i}.w",
            "mlp",
            "grid",
            (96, 64),
            {
                "q": np.clip(np.rint(source.standard_normal((96, 64)) * 9), -31, 31).astype(np.int8),
                "scale": source.uniform(0.01, 0.02, 96).astype(np.float16),
            },
            6,
        )
        for i in range(3)
    ]
    tensors.append(StoredTensor("gain", "small", "fp32", (64,), {"values": np.ones(64, np.float32)}))
    path = tmp_path_factory.mktemp("run") / "artifact.pgolf"
    header = {"arch": {"width": 64}}
    container.write(
        path,
        container.encode(header, QuantizedState(tuple(tensors)), b"abc" * 50, Brotli(quality=5, lgwin=24)),
    )
    return path.parent


def test_every_part_stands_in_the_table_with_its_sizes(folder, capsys):
    assert main(["bench", "artifact", str(folder)]) == 0
    shown = capsys.readouterr().out
    table = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line}
    assert {"header", "q.mlp", "scale", "fp32.small", "tokenizer", "all"} <= set(table)
    head = table["part"]
    assert head[:6] == ["weights", "order-0", "ideal", "range", "bits", "stored"]
    assert [name for name in head[6:] if name != ZPAQ] == [name for name in codecs() if name != "range"]
    weights, order0, ideal, packed, bits, stored = (float(x.replace(",", "")) for x in table["q.mlp"][:6])
    zlib = float(table["q.mlp"][head.index("zlib")].replace(",", ""))
    assert weights == 3 * 96 * 64
    assert ideal <= packed <= 1.005 * ideal + 8
    assert bits == pytest.approx(8 * packed / weights, abs=1e-4)
    assert packed < 1.02 * order0
    assert packed < stored
    assert packed < zlib


def test_the_sums_are_what_the_artifact_holds(folder, capsys):
    main(["bench", "artifact", str(folder / "artifact.pgolf")])
    lines = capsys.readouterr().out.splitlines()
    parts = [line.split() for line in lines[3 : lines.index("", 3) - 1]]
    total = lines[lines.index("", 3) - 1].split()
    assert sum(int(part[6].replace(",", "")) for part in parts) == int(total[5].replace(",", ""))
    streams = container.unpacked(folder / "artifact.pgolf")
    assert int(total[5].replace(",", "")) == sum(stream.packed_length for stream in streams)


def test_margins_and_speeds_are_named(folder, capsys):
    main(["bench", "artifact", str(folder)])
    shown = capsys.readouterr().out
    assert re.search(r"q\.mlp: range is \+0\.\d+ % against its ideal code length; brotli [+-]\d.*, zlib -\d", shown)
    assert re.search(r"range: encodes [\d.]+ M weights/s, decodes [\d.]+ M weights/s, \d+ threads", shown)


def test_what_is_no_artifact_is_refused(tmp_path, capsys):
    (tmp_path / "artifact.pgolf").write_bytes(b"not one")
    assert main(["bench", "artifact", str(tmp_path)]) == 2
    assert "not a pgolf artifact" in capsys.readouterr().err
    assert main(["bench", "artifact", str(tmp_path / "none")]) == 2
    assert "cannot read" in capsys.readouterr().err
