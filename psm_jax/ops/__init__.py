"""The numerics under every network."""
