"""Configurations: one file an experiment; `base` has every field."""
