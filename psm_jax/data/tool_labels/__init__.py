"""Tables of action units by other tools, joined with frames by their numbers.

`readers.read` reads one table, `joining.join` brings it to a video's frames,
and `attach` does so for a folder of frames or a run's embeddings.
"""
