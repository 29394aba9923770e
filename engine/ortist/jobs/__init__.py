"""Many pictures: batches and videos, here or on a cluster; a model's tuning by a judge's measures.

For use elsewhere: ``batch``, ``video``, ``tuning``, ``scenes``; ``Cluster``, which needs the extra
``cluster``.
"""
