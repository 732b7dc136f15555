"""Compressors: from bytes to fewer bytes, and decoders that never allocate more than was declared.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.core.protocols.Compressor``. Leaves:
``base``, ``bounded``, ``range_kernels``, ``range_tables``, ``registry``.
"""
