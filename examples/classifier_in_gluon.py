"""Ten digits, from data to accuracy, in the framework layer alone: the lecture's project, written by hand."""

from sklearn.datasets import load_digits

from luthier.classic import autograd, d2l, init, nd
from luthier.classic.gluon import Trainer, data, loss, nn

pictures, labels = load_digits(return_X_y=True)
X, y = nd.array(pictures / 16), nd.array(labels)
training = data.DataLoader(data.ArrayDataset(X[:1300], y[:1300]), 32, shuffle=True)

net = nn.Sequential()
net.add(nn.Dense(64, activation="relu"), nn.Dense(10))
net.initialize(init.Xavier())
softmax_cross_entropy = loss.SoftmaxCrossEntropyLoss()
trainer = Trainer(net.collect_params(), "adam", {"learning_rate": 0.003})

for epoch in range(8):
    for rows, targets in training:
        with autograd.record():  # the forward pass is all that is written
            losses = softmax_cross_entropy(net(rows), targets)
        losses.backward()
        trainer.step(len(rows))
    known, new = (d2l.accuracy(net(X[part]), y[part]) for part in (slice(1300), slice(1300, None)))
    print(f"epoch {epoch + 1}: {known:.3f} of the training pictures right, {new:.3f} of new ones")

print(net)
print("the first new picture:", d2l.softmax(net(X[1300:1301])).asnumpy().round(3)[0], "is a", int(labels[1300]))
assert new > 0.88
