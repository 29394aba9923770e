"""Pictures in and out: decoding, orientation, colour, resizing, encoding.

For use elsewhere: ``reading``, ``raster``, ``values``, ``outputs``, ``colors``, ``metadata``.
"""
