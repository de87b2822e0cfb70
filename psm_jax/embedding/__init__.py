"""Everything that needs a model and frames; layout.py says what is written."""
