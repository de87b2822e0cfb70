"""Movements that one run's models group and another's do not.

results = search.discover(...); docs/discovery.md says what is computed.
"""
