"""Starts psm_jax.cli.doctor; --help tells what it does."""

from psm_jax.cli import program

if __name__ == '__main__':
  program.run('doctor')
