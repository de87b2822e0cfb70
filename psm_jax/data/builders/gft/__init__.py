"""TFDS builder of GFT, from a user's own copy."""
