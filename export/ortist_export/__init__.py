"""The workshop: PyTorch backbones and weights -> ONNX bundles that the engine runs.

Needs the extra ``ortist[export]`` (torch, onnx). Nothing in here is imported at run time.
"""
