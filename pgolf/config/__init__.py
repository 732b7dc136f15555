"""Composing, checking and naming what a command line asks for. With train.py and eval.py the only home of Hydra."""
