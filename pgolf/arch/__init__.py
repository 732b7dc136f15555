"""Models: topologies here, their exchangeable parts in the child packages of the same names.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.core.protocols.Model``. Leaves:
``base``, ``block``, ``combine``, ``dims``, ``head_loss``, ``ssd``, ``stepping``, ``table``, ``taps``, ``unet``,
``untie``, ``visits``.
"""
