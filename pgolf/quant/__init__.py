"""Quantizers: from float weights to small integers and back.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.core.protocols.Quantizer``. Leaves:
``base``, ``entropy``, ``errors``, ``forecast``, ``gptq_solver``, ``grid``, ``grid_quantizer``, ``pass_through``,
``pipeline``, ``row_codes``, ``state_walk``, ``stored``, ``target``, ``tensor_info``, ``tensorwise``.
"""
