"""TFDS builder of ingested videos."""
