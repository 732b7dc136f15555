"""Terms that training adds to the loss; in evaluation there are none, and what they own is in no artifact.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.auxiliary.base.Term``. Leaves: none.
"""
