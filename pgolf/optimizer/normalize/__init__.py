"""Normalizers: what scales the rows or columns of a matrix update, before or after it is orthogonalised.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.optimizer.normalize.base.Normalizer``.
Leaves: none.
"""
