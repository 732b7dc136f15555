"""What a run's saved weights say of its gates, lanes, skip weights and gains."""

from __future__ import annotations

from pathlib import Path

import torch

from pgolf.arch.learned import Learned, learned
from pgolf.config.saved import read_saved
from pgolf.core.errors import RunError
from pgolf.core.make import make
from pgolf.report.gather import CONFIG_NAME
from pgolf.report.stored import WEIGHTS_NAME, trained_weights
from pgolf.tokenizer.recipe import BOS_ID, vocab_size


def learned_of_run(run: Path) -> list[Learned]:
    """Of the run in this folder, also of one that broke off.

    Raises RunError for a folder without weights, or with another model's.
    """
    saved = trained_weights(run)
    cfg = read_saved(run / CONFIG_NAME)
    try:
        with torch.device("meta"):  # nothing is made but what the weights then are
            model = make(cfg["arch"], vocab_size=vocab_size(cfg["tokenizer"]), bos_id=BOS_ID)
        model.load_state_dict(saved, assign=True)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run / WEIGHTS_NAME}: not the weights of the model in {CONFIG_NAME}") from error
    return learned(model, model.output_table.size(1))
