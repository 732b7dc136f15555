"""Policies: which tensor is stored how.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.quant.policy.base.Policy``. Leaves:
none.
"""
