"""Starts psm_jax.cli.import_reference; --help tells what it does."""

from psm_jax.cli import program

if __name__ == '__main__':
  program.run('import_reference')
