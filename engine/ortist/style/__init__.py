"""What is known of styles: style pictures and files, masks, moments, style losses.

For use elsewhere: ``styles``, ``files``, ``named``, ``guides``, ``moments``, ``losses``.
"""
