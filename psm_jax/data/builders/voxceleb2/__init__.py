"""TFDS builder of VoxCeleb2, from a user's own copy."""
