"""The network at run time: a model's bundle, ONNX Runtime's sessions, what the machine has.

For use elsewhere: ``bundle.find_model`` and ``Model``, ``sessions``, ``machine``.
"""
