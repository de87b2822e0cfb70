"""TFDS builder of DISFA, from a user's own copy."""
