"""Models: topologies here, their exchangeable parts in the child packages of the same names.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.core.protocols.Model``. Leaves:
``activations``, ``base``, ``block``, ``combine``, ``dims``, ``head_kernels``, ``head_loss``, ``learned``, ``ssd``,
``table``, ``taps``, ``unet``, ``untie``, ``visits``. In ``step``, no words: a model fed in pieces.
"""
