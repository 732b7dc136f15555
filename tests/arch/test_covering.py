"""Options combine: every permitted pair of them builds, steps, and survives the artifact; the others are refused."""

import math
from itertools import product

import pytest
import torch

from pgolf.artifact import container
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.quant.stored import dequantize_for
from tests.arch.causality import one_step
from tests.arch.covering import OFF, ON, covering_rows, factors, forbidden, pairs_of, words_of
from tests.helpers import BOS, VOCAB, ids, tiny_model, tiny_settings

BANNED = forbidden()
ROWS = covering_rows(factors(), BANNED)


def roundtrip(model, *words):
    """The model rebuilt from the bytes of an artifact without loss."""
    quantizer, compressor = (
        make({"_target_": "pgolf.quant.none.NoQuantizer"}),
        make(tiny_settings("compressor=zlib")["compressor"]),
    )
    state = quantizer.quantize(model.state_dict(), model.param_specs(), model.aliases())
    loaded = container.decode(container.encode({}, state, b"", compressor))
    torch.manual_seed(99)
    twin = make(tiny_settings(*words)["arch"], vocab_size=VOCAB, bos_id=BOS)
    twin.load_state_dict(dequantize_for(loaded.state, twin.state_dict()))
    twin.use(model.active)
    return twin


def exercise(*words):
    """Build; in every route take a step and rebuild from the artifact: finite losses, equal logits."""
    model = tiny_model(*words)
    for name in model.routes:
        model.activate(name)
        assert math.isfinite(one_step(model)), words
        assert all(torch.isfinite(p).all() for p in model.parameters()), words
        twin = roundtrip(model, *words)
        tokens = ids(time=17)
        with torch.no_grad():
            found, expected = twin.eval().logits(tokens), model.eval().logits(tokens)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_rows_contain_every_permitted_pair_and_no_other():
    choices = factors()
    names = list(choices)
    possible = {
        frozenset({(a, av), (b, bv)})
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        for av, bv in product(choices[a], choices[b])
    }
    covered = {two for row in ROWS for two in pairs_of(row)}
    assert covered == possible - BANNED
    assert len(ROWS) < 80


@pytest.mark.parametrize(
    "number", range(len(ROWS)), ids=lambda n: "+".join(["row", *sorted(set(ROWS[n].values()) - {OFF, ON})])
)
def test_every_permitted_pair_builds_steps_and_survives_the_artifact(number):
    exercise(*words_of(ROWS[number]))


@pytest.mark.parametrize(
    "two", sorted(BANNED, key=sorted), ids=lambda two: "-".join(f"{a}={b}" for a, b in sorted(two))
)
def test_every_forbidden_pair_is_refused(two):
    words = words_of(dict(two))
    with pytest.raises(ConfigError):
        tiny_model(*words)


@pytest.mark.parametrize("name", options(conf_dir(), "arch"))
def test_every_topology_and_preset_steps_and_survives_the_artifact_in_every_route(name):
    exercise(f"arch={name}")


@pytest.mark.slow
def test_the_full_product_of_the_groups_with_no_addon_or_with_all_that_go_together():
    choices = factors()
    groups = [name for name in choices if name.startswith("arch/")]
    addons: list[str] = []
    for name in choices:
        new = {frozenset({(name, ON), (other, ON)}) for other in addons}
        new |= {frozenset({(name, ON), ("arch/lanes", lanes)}) for lanes in choices["arch/lanes"]}
        if name not in groups and not new & BANNED:
            addons.append(name)
    for values in product(*(choices[name] for name in groups)):
        for with_addons in (False, True):
            row = dict(zip(groups, values, strict=True))
            row |= {a: ON if with_addons else OFF for a in addons}
            if not any(two in BANNED for two in pairs_of(row)):
                exercise(*words_of(row))
