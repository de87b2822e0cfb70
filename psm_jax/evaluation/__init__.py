"""How well embeddings tell action units, and what else they hold.

  evaluate.score(workdir)

docs/evaluation.md says what is computed and what to trust.
"""
