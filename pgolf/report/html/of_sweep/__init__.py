"""The sections of a page about a sweep, a module each, beside those of ``of_set`` about its runs: ``PLACE`` orders
them, ``section(SweepPage)`` makes one or None."""
