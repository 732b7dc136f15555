"""Shardings: which of the processes that train together computes which matrix's update.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.optimizer.sharding.base.Sharding``.
Leaves: none.
"""
