"""Combining experts into one normalised distribution.

An option that does nothing says so by its class attribute ``neutral`` (bool; False where it has none): rules between
groups ask for it.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.eval.evaluation.Mixture``.
Leaves: ``shares``.
"""
