"""Published forms of evaluation that break the order of scoring and learning: no numbers of theirs are code lengths.

They are here so that the certificate can be shown to refuse them without being told which they are, and run where the
cheats run: in the tests and under ``pgolf cheats``. A form is a module of this package with ``LETTER``, the probe that
must refuse it, ``SOURCE``, the pull requests that had it, and ``apply``, which makes of an evaluation its like.
"""
