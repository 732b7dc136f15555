"""Whether a larger model is trained first, for the run's own to learn from.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.distillation.base.Distillation``. Leaves:
``teaching``.
"""
