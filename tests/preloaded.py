"""What programs import, imported once for all that tests start."""

import warnings

import psm_jax.data.ingest.batch
import psm_jax.data.labels.attach
import psm_jax.discovery.search
import psm_jax.embedding.tables
import psm_jax.evaluation.evaluate
import psm_jax.report.page
import psm_jax.runs.zoo
import psm_jax.training  # noqa: F401

# It is forked before JAX runs anything.
warnings.filterwarnings('ignore', message='os.fork', category=RuntimeWarning)
