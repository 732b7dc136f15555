"""The sections of a page about several runs, a module each: ``PLACE`` orders them, ``section(SetPage)`` makes one or
None."""
