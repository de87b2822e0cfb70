"""TFDS builder of BP4D-Spontaneous, from a user's own copy."""
