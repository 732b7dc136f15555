"""Sinks for the metrics of a run. A logger may never fail a run.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.core.protocols.Logger``. Leaves: none.
"""
