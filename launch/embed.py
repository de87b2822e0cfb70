"""Starts psm_jax.cli.embed; --help tells what it does."""

from psm_jax.cli import embed, program

if __name__ == '__main__':
  program.run(embed)
