"""A model fed in pieces: one position or a block of them at a time, with a memory wherever it looks back.

No words of the command line here. ``feed`` feeds a model, ``memory`` is what parts need to give stand-ins of their own
(``Part.stand_ins``), ``attention`` is that of attention.
"""
