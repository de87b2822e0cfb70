"""From videos to the aligned face crops of each person in them.

`batch.ingest` does it all; `folder.scan` reads what it made.
"""
