"""Measurements of training and embedding speed; see `launch.bench`."""
