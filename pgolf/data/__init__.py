"""Corpora, their splits, and the token shards made of them.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.data.base.Source``. Leaves: ``audit``,
``byte_audit``, ``closed``, ``dataset``, ``documents``, ``hub``, ``near``, ``parallel``, ``prepare``, ``published``,
``rivals``, ``shards``.
"""
