"""Members that are modules of PyTorch: vmapped or one after another."""
