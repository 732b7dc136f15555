"""Learning-rate schedules over the fraction of the run that is done."""
