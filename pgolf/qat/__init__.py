"""Methods that make the rounding after training cheaper while the weights are trained.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.qat.base.QATMethod``. Leaves:
``grid_plan``, ``hardening``, ``replaced``, ``start``.
"""
