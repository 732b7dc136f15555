"""Calibration: on which text the inputs of linear maps are measured.

Every module is a word of the command line, leaves apart. Contract:
``pgolf.quant.calibration.base.CalibrationSource``. Leaves: ``hessian``, ``measure``.
"""
