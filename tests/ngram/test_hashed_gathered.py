"""Hashed counters divided by their own sum, beside dicts of the same keys: they sum to one, and that is all."""

import numpy as np
import pytest

from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.stage import Chain
from tests.eval.stages import mean
from tests.ngram.family import check_causality, driven, positions
from tests.ngram.test_hashed import NODE, Published
from tests.proof.making import network_evaluation
from tests.proof.published.refusal import judged

KEYS = ("min_order", "max_order", "multipliers", "beyond", "min_counts", "max_memory_mb")


def gathered(bits=6):
    node = {key: NODE[key] for key in KEYS} | {"chunk_tokens": 3, "bucket_bits": bits}
    return make({"_target_": "pgolf.ngram.hashed_gathered.HashedGathered", **node})


@pytest.mark.parametrize("lanes", [1, 2])
def test_rows_are_those_of_the_keys_divided_by_their_sum(lanes):
    given_positions = own_IV, _, lane_I, token_I = positions(200, 13, lanes)

    def fresh():
        return Chain(gathered().stages(Facts(13, 1, 201, lanes=lanes)), ())

    chain, reference = fresh(), Published(chunk_tokens=3)
    row_IV = driven(chain, given_positions)
    for i in range(200):
        q_V, known = reference.row(lane_I[i], own_IV[i])
        np.testing.assert_allclose(row_IV[i], q_V / q_V.sum() if q_V.sum() else own_IV[i], atol=1e-6)
        assert tuple(chain._now.out_SIS[0][i]) == known
        reference.learn(lane_I[i], int(token_I[i]))
    np.testing.assert_allclose(row_IV.sum(-1, dtype=np.float64), 1.0, atol=1e-6)
    check_causality(fresh, row_IV, given_positions)


def test_the_certificate_passes_it():
    assert not judged(network_evaluation(ngram=gathered(10), mixer=mean()))[1]
