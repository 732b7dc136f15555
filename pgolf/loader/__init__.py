"""Training batches from shards, in a repeatable order.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.core.protocols.Loader``. Leaves:
``prefetch``, ``shards``, ``stream``.
"""
