"""What can be asked for: the options of a run, their parsing, presets and TOML files.

Imports nothing heavy. For use elsewhere: ``fields.Options``, ``presets.PRESETS``, ``toml``,
``parsing``.
"""
