"""Orthogonalisers: how the polar factor of a matrix update is approached.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.optimizer.matrix_update.Orthogonalizes``.
Leaves: none.
"""
