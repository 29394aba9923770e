"""Races against PyTorch, each a command: ``python -m tests.benchmarks.NAME [--json]``.

They measure and print; only the correctness of what is raced is asserted. Ratios are PyTorch's
figure over Ortist's: above 1 Ortist is better.
``judge`` compares a model's pictures with another model's.
"""
