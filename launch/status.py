"""Starts psm_jax.cli.status; --help tells what it does."""

from psm_jax.cli import program

if __name__ == '__main__':
  program.run('status')
