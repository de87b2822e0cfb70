"""How well embeddings of one person tell that person's action units.

results = tables.evaluate(features.read_embeddings(workdir))
tables.write(results, workdir / 'evaluation')
"""
