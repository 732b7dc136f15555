"""Learning-rate schedules over a run.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.schedule.base.Schedule``. Leaves:
none.
"""
