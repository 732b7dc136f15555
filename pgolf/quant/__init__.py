"""Quantizers: from float weights to small integers and back.

Words of the command line: ``none``, ``rtn``, ``gptq``, ``ternary``, ``binary``; the child groups ``scale``, ``policy``,
``pruning``, ``correction``, ``calibration``. The contract is ``base``; ``grid_quantizer`` and ``pipeline`` are what rtn
and gptq are made of, ``tensorwise`` what the others are; ``schemes`` holds the storage formats. All else is shared code.
"""
