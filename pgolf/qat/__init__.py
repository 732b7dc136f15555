"""Methods that make the rounding after training cheaper while the weights are trained.

Words of the command line: crown_q, none, projected, soft_round, soft_round_sigmoid, ste, ste_quantile. The contract
is ``base``; leaves they share: ``grid_plan`` (the export's grid), ``hardening`` (soft rounding), ``replaced`` (other
weights in the forward pass), ``start`` (when a method begins).
"""
