"""Decay of matrices: what an update takes off the weights before it moves them.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.optimizer.muon.Decays``. Leaves: none.
"""
