"""What the weights know of the training text before the first step.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.warm_start.base.WarmStart``. Leaves: none.
"""
