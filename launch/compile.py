"""Starts psm_jax.cli.compile; --help tells what it does."""

from psm_jax.cli import program

if __name__ == '__main__':
  program.run('compile')
