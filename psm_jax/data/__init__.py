"""From pictures of people to the frame store that training reads.

`prepare.prepare` builds a store, `store.open_store` reads one; only the
former's modules import TensorFlow.
"""
