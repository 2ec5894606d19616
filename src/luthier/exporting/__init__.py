"""A model taken elsewhere: as ONNX with raw columns in, or as a module that needs PyTorch alone.

`whole` is the model as one module of tensors; `to_onnx` and `to_torch` write it; both are checked against the model
before anything is handed over.
"""
