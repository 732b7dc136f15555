"""Composition, naming, validation and building. With train.py and eval.py the only home of Hydra."""
