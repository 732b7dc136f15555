"""Recurrence: in which order a forward pass visits the layers.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.arch.recurrence.base.Recurrence``.
Leaves: ``growth``.
"""
