"""Measurements of psm_jax beside PyTorch; see `benchmarks.compare`."""
