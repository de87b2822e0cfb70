"""TFDS builder of invented people's rendered videos."""
