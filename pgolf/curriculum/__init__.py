"""How large batches are, and how long their windows, over the run.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.curriculum.base.Curriculum``. Leaves: none.
"""
