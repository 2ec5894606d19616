"""The programs that the documents describe, to their interfaces and with their mistakes mended.

`network`, `network2` and `mnist_loader` are Nielsen's, in NumPy; `gluon`, `nd`, `autograd`, `init` speak as Gluon does,
over PyTorch; `cs231n` has the update rules and the dropout network of the course. Their listings run with the import
line changed. They are also oracles: the engine's numbers are compared with theirs.
"""
