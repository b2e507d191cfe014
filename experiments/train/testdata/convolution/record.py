#!/usr/bin/env python3
"""Records the run of PyTorch in this folder: a convolutional network on the first images of MNIST.

    python record.py ../../../../dataset/mnist

See README.md for what it writes. It needs numpy, torch and safetensors.
"""
import gzip, json, os, sys
import numpy as np, torch
from safetensors.torch import save_file
from torch import nn

TRAIN, TEST, BATCH, RATE, EPOCHS = 560, 120, 52, 0.2, 2
HERE = os.path.dirname(os.path.abspath(__file__))


class Network(nn.Module):
    def __init__(self, channels, kernel, layer_sizes):
        super().__init__()
        layers, inputs, side = [], 1, 28
        for outputs in channels:
            layers += [nn.Conv2d(inputs, outputs, kernel), nn.ReLU(), nn.MaxPool2d(2)]
            inputs, side = outputs, (side - kernel + 1) // 2
        self.conv_stack = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        sizes = [inputs * side * side] + layer_sizes + [10]
        layers = []
        for i in range(len(sizes) - 2):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU()]
        self.linear_relu_stack = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    def forward(self, x):
        return self.linear_relu_stack(self.flatten(self.conv_stack(x)))


def idx(name, offset, count, size):
    with gzip.open(os.path.join(sys.argv[1], name + ".gz")) as f:
        return np.frombuffer(f.read(offset + count * size), np.uint8, offset=offset)


def images(split, count):
    x = torch.from_numpy(idx(split + "-images-idx3-ubyte", 16, count, 784).reshape(-1, 1, 28, 28).copy()).float() / 255
    return x, torch.from_numpy(idx(split + "-labels-idx1-ubyte", 8, count, 1).astype(np.int64))


torch.manual_seed(0)
(x, y), (xt, yt) = images("train", TRAIN), images("t10k", TEST)
mean, deviation = x.double().mean().item(), x.double().std(correction=0).item()
x, xt = (x - mean) / deviation, (xt - mean) / deviation
model, loss_fn = Network([3, 5], 4, [12]), nn.CrossEntropyLoss()
sgd = torch.optim.SGD(model.parameters(), lr=RATE)
save = lambda name: save_file(model.state_dict(), os.path.join(HERE, name))


@torch.no_grad()
def evaluate(x, y):
    losses = [loss_fn(model(a), b).item() for a, b in zip(x.split(BATCH), y.split(BATCH))]
    return sum(losses) / len(losses), (model(x).argmax(1) == y).sum().item() / len(y)


save("init.safetensors")
steps, epochs = [], []
for epoch in range(1, EPOCHS + 1):
    for a, b in zip(x.split(BATCH), y.split(BATCH)):
        loss = loss_fn(model(a), b)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        steps.append(loss.item())
    (train_loss, train_accuracy), (test_loss, test_accuracy) = evaluate(x, y), evaluate(xt, yt)
    epochs.append(dict(epoch=epoch, train_loss=train_loss, train_accuracy=train_accuracy, test_loss=test_loss, test_accuracy=test_accuracy))
save("final.safetensors")
with open(os.path.join(HERE, "step_losses.json"), "w") as f:
    json.dump(steps, f)
with open(os.path.join(HERE, "epochs.jsonl"), "w") as f:
    f.writelines(json.dumps(epoch) + "\n" for epoch in epochs)
print(model, torch.__version__, epochs)
