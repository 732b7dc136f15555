"""Bits and damage by tensor, of an artifact and the weights it was made of."""

import numpy as np
import pytest
import torch

from pgolf.artifact import container
from pgolf.compressor.zlib import Zlib
from pgolf.core.errors import ArtifactError
from pgolf.core.results import QuantizedState, StoredTensor
from pgolf.report.html.of_run import tensors
from pgolf.report.html.parts import Bars, Notice
from pgolf.report.html.subject import subjects
from pgolf.report.stored import stored_model
from pgolf.train.state import Weights, save_weights
from tests.report.html.telling import report_of
from tests.report.making import write_run

Q = np.array([[1, -1, 2, 0], [3, 3, 3, 3]], dtype=np.int8)
SCALE = np.array([0.5, 0.25], dtype=np.float16)


@pytest.fixture
def run(tmp_path):
    """A matrix whose stored form misses a quarter of one row, and a vector that is kept."""
    folder = write_run(tmp_path, "x", 1, 1.2)
    matrix = StoredTensor("up", "mlp", "grid", (2, 4), {"q": Q, "scale": SCALE}, 3)
    gain = StoredTensor("gain", "small", "fp32", (3,), {"values": np.ones(3, dtype=np.float32)})
    data = container.encode({}, QuantizedState((gain, matrix)), b"", Zlib(level=9))
    container.write(folder / "artifact.pgolf", data)
    kept = torch.tensor(Q * SCALE[:, None].astype(np.float32))
    save_weights(folder / "weights.pt", Weights({"up": 2 * kept, "gain": torch.ones(3)}, "all", 1))
    return folder


def test_damage_is_the_share_of_energy_that_the_stored_form_misses(run):
    found = {tensor.name: tensor for tensor in stored_model(run).tensors}
    assert found["up"].damage == pytest.approx(0.25) and found["gain"].damage == 0.0
    assert found["up"].grid_bits == 3 and found["up"].weights == 8


def test_bits_are_the_entropy_of_the_codes_and_the_cost_of_the_scales(run):
    counts = np.array([1, 1, 1, 1, 4])
    entropy = float(-(counts * np.log2(counts / 8)).sum())
    (up,) = [tensor for tensor in stored_model(run).tensors if tensor.name == "up"]
    assert up.bits == pytest.approx((entropy + 2 * 10.3) / 8)


def test_without_weights_there_are_bits_and_no_damage_and_that_is_said(run):
    (run / "weights.pt").write_bytes(b"torn")
    model = stored_model(run)
    assert "cannot be read" in model.problem and all(tensor.damage is None for tensor in model.tensors)
    (run / "artifact.pgolf").write_bytes(b"torn")
    with pytest.raises(ArtifactError):
        stored_model(run)


def test_the_page_shows_both_or_says_why_not(run):
    section = tensors.section(subjects(report_of(run), "final"))
    (rows,) = [part for part in section.parts if isinstance(part, Bars)]
    assert [row.label for row in rows.rows] == ["up"] and rows.rows[0].text.startswith("25.00 %")
    (run / "artifact.pgolf").write_bytes(b"torn")
    (notice,) = tensors.section(subjects(report_of(run), "final")).parts
    assert isinstance(notice, Notice) and "artifact" in notice.text
