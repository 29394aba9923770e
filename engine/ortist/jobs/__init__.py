"""Many pictures: batches and videos, here or on a cluster.

For use elsewhere: ``batch``, ``video``; ``Cluster``, which needs the extra ``cluster``.
"""
