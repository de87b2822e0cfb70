"""Published data sets as their owners ship them, read from a user's own copy.

Each module holds one data set's rules as a value, `DATASET`, for `trees.scan`.
"""
