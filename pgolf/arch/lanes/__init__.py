"""Lanes: how blocks read and write the residual stream, or two of them.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.arch.lanes.base.Lanes``. Leaves:
``two``.
"""
