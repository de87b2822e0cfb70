"""Networks as Flax modules, written for one model."""
