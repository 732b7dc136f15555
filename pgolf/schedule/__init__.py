"""Learning-rate schedules over the fraction of the run that is done.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.train.trainer.Schedules``. Leaves:
none.
"""
