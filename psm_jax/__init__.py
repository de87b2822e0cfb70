"""psm_jax: person-specific models of facial movement, many at once."""

__version__ = '0.1.0'
