"""One picture's life: plan, scales, steps, checkpoints, result.

For use elsewhere: ``loop.Run``, ``plan``, ``setup``, ``result``, ``settings``, ``extraction``.
"""
