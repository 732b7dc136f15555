"""Initialisers: the weights that training starts from.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.arch.init.base.Initialiser``. Leaves:
``steps``.
"""
