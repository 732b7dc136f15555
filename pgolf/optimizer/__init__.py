"""Optimizers: how gradients become updates, group by group.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.train.trainer.Optimizes``. Leaves:
``grouped``, ``matrix_update``, ``muon``.
"""
