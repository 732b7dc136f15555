"""Scales: how far a row's grid reaches.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.quant.scale.base.Scale``. Leaves:
``deviation``, ``quantile``.
"""
