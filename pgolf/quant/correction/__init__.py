"""Corrections: small extra tensors that win back part of what the grid lost."""
