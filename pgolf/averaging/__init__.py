"""Which weights a run exports: the last step's, or an average that is kept while it trains.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.averaging.base.Averaging``. Leaves: none.
"""
