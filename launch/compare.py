"""Starts psm_jax.cli.compare; --help tells what it does."""

from psm_jax.cli import compare, program

if __name__ == '__main__':
  program.run(compare)
