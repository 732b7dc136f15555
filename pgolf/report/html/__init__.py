"""A report as one page for a browser: ``parts`` are what a section shows, ``of_run`` and ``of_set`` hold one section a
module, ``charts`` draws, ``document`` writes it all into the template."""
