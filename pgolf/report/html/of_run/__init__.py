"""The sections of a page about one run, a module each: ``PLACE`` orders them, ``section(RunPage)`` makes one or
None."""
