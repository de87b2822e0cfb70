"""How well embeddings tell action units, and what else they hold.

results = tables.evaluate(features.read_embeddings(workdir))
tables.write(results, workdir / 'evaluation')

docs/evaluation.md says what is computed and what to trust.
"""
