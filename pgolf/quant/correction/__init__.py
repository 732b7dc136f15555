"""Corrections: small extra tensors that win back part of what the grid lost.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.quant.correction.base.Correction``.
Leaves: ``residual``.
"""
