"""Every sweep file composes, and its axes are right words."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from pgolf.config import schema
from pgolf.config.compose import compose as compose_words
from pgolf.config.compose import conf_dir, settings
from pgolf.config.preflight import preflight

SWEEPS = sorted((Path(__file__).parent.parent / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_composes_with_axes_that_pass_preflight(path):
    schema.register()
    with initialize_config_dir(config_dir=str(path.parent), version_base="1.3"):
        overrides = [f"hydra.searchpath=[file://{conf_dir()}]"]
        cfg = compose(path.stem, overrides=overrides, return_hydra_config=True)
    assert cfg.hydra.mode.name == "MULTIRUN"
    axes = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
    assert axes
    preflight(axes, conf_dir(), lambda words: settings(compose_words(words)))


def test_every_sweep_states_its_question_and_its_command():
    for path in SWEEPS:
        head = path.read_text().splitlines()[:3]
        assert head[0].startswith("# Question:") and f"-cn {path.stem}" in head[1], path
