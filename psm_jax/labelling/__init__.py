"""Few labels made into many: choose frames, fill in a table, predict the rest.

choose.py  which frames to look at
sheets.py  what a person looks at and fills in, and what comes back
exports.py intervals that ELAN and BORIS wrote
probes.py  labels of all frames from those of a few, and how well they hold
"""
