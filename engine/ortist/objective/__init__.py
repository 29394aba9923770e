"""Losses and pixel gradient of a picture.

For use elsewhere: ``objective``, ``targets``, ``weights``.
"""
