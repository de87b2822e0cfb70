"""TFDS builder of VoxCeleb1, from a user's own copy."""
