"""Addons: small parts that hang on named sites of a model.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.arch.addon.base.Addon``. Leaves:
``count_provider``, ``gating``, ``placement``, ``token_nll``.
"""
