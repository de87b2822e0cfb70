"""Starts psm_jax.cli.discover; --help tells what it does."""

from psm_jax.cli import discover, program

if __name__ == '__main__':
  program.run(discover)
