"""Many pictures: batches and videos.

For use elsewhere: ``batch``, ``video``.
"""
