"""Attention kernels, held by the one layer that they share.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.arch.attention.base.Kernel``. Leaves:
``layer``.
"""
