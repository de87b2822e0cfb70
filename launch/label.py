"""Starts psm_jax.cli.label; --help tells what it does."""

from psm_jax.cli import label, program

if __name__ == '__main__':
  program.run(label)
