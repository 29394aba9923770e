"""Many pictures: batches, videos, and the tuning of a model by a judge's measures.

For use elsewhere: ``batch``, ``video``, ``tuning``, ``scenes``.
"""
