"""Optimizers: how gradients become updates, group by group."""
