"""MLPs: what stands second in a layer.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.arch.base.FeedForward``. Leaves: none.
"""
