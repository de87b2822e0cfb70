"""TFDS builder of CK+, from a user's own copy."""
