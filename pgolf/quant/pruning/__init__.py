"""Pruning: which weights become zero whatever the grid makes of them.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.quant.pruning.base.Pruning``. Leaves:
none.
"""
