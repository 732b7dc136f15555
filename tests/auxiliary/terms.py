"""Trainers whose loss has terms, made as ``build_trainer`` makes them."""

import torch
from torch import nn

from pgolf.auxiliary.base import WithTerms
from pgolf.core.make import make
from pgolf.train.model_progress import ModelProgress
from tests.helpers import tiny_model, tiny_settings
from tests.train.rig import rig


def attached(name, *words, model=None, seed=0):
    """A model in training with that term, and the term."""
    model = tiny_model(seed=seed) if model is None else model
    term = make(tiny_settings(f"auxiliary=[{name}]", *words)["auxiliary"][name], model=model)
    model.terms = (term,)
    return model.train(), term


def training(name, *words, **kwargs):
    trainer = rig(**kwargs)
    model, term = attached(name, *words, model=trainer.model)
    beside = nn.ModuleDict({name: term})
    cfg = tiny_settings("optimizer.ns_dtype=float32")
    trainer.optimizer = make(cfg["optimizer"], model=WithTerms(model, beside))
    trainer.beside, trainer.parameters = beside, [*model.parameters(), *beside.parameters()]
    trainer.hooks.append(ModelProgress(model))
    return trainer


def without_terms(model, x, y):
    terms, model.terms = model.terms, ()
    with torch.no_grad():
        loss = model.loss(x, y)
    model.terms = terms
    return loss
