"""Programs for the command line, one a verb."""
