#!/usr/bin/env python3
"""The post's workload in PyTorch, timed epoch by epoch: train, then evaluate on the train and the test set.

    pip install -r requirements.txt
    python torch_loop.py --data ../../../dataset/mnist --feed loader   # torchvision dataset + DataLoader, as the post does it
    python torch_loop.py --data ../../../dataset/mnist --feed memory   # the whole set as one tensor: what a careful user would write
    python torch_loop.py --data ../../../dataset/mnist --feed memory --tuned   # the backward pass by hand, the update in place;
                                                                          # convolutions with channels last instead

One JSON line per epoch on standard output: seconds and metrics. Losses are means of batch means, as in the post.
"""
import argparse, gzip, json, os, shutil, tempfile, time
import numpy as np, torch
from torch import nn

p = argparse.ArgumentParser()
p.add_argument("--data", required=True, help="folder with the four IDX .gz files")
p.add_argument("--feed", choices=["loader", "memory"], default="loader")
p.add_argument("--layer-sizes", default="512,512")
p.add_argument("--conv-channels", default="", help="of convolutions before the layers, each with ReLU and 2x2 max pooling")
p.add_argument("--batch-size", type=int, default=64)
p.add_argument("--learning-rate", type=float, default=1e-3)
p.add_argument("--epochs", type=int, default=4)
p.add_argument("--tuned", action="store_true")
p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
p.add_argument("--normalize", action=argparse.BooleanOptionalAction, default=False)
p.add_argument("--shuffle", action=argparse.BooleanOptionalAction, default=True)
p.add_argument("--seed", type=int, default=0)
p.add_argument("--init", help="safetensors file with the initial weights")
p.add_argument("--save", help="safetensors file to write the final weights to")
p.add_argument("--step-losses", help="file for the loss of every 100th step, a JSON list per epoch")
a = p.parse_args()
torch.manual_seed(a.seed)
device = torch.device(a.device)
MEAN, STD = (0.1307, 0.3081) if a.normalize else (0.0, 1.0)


def idx(name, offset):
    with gzip.open(os.path.join(a.data, name + ".gz")) as f:
        return np.frombuffer(f.read(), np.uint8, offset=offset)


def memory_feed(split, shuffle):
    x = torch.from_numpy(idx(split + "-images-idx3-ubyte", 16).copy()).reshape(-1, 784).float() / 255
    x, y = (x - MEAN) / STD, torch.from_numpy(idx(split + "-labels-idx1-ubyte", 8).astype(np.int64))
    x, y = x.to(device), y.to(device)

    class Feed:
        def __iter__(self):
            order = (torch.randperm(len(x)) if shuffle else torch.arange(len(x))).to(device)
            for i in range(0, len(x), a.batch_size):
                j = order[i:i + a.batch_size]
                yield x[j], y[j]
    return Feed()


def loader_feed(train, shuffle, root):
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms
    t = [transforms.ToTensor()] + ([transforms.Normalize((MEAN,), (STD,))] if a.normalize else [])
    d = datasets.MNIST(root, train=train, transform=transforms.Compose(t))
    return DataLoader(d, batch_size=a.batch_size, shuffle=shuffle)


if a.conv_channels and a.init:
    p.error("--init and --conv-channels: give one of them; only the fully connected layers are read")
convolutions, inputs, side = [], 1, 28
for channels in (int(s) for s in a.conv_channels.split(",") if s):
    convolutions += [nn.Conv2d(inputs, channels, 3), nn.ReLU(), nn.MaxPool2d(2)]
    inputs, side = channels, (side - 2) // 2
sizes = [inputs * side * side] + [int(s) for s in a.layer_sizes.split(",") if s] + [10]
layers = []
for i in range(len(sizes) - 2):
    layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU()]
stack = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))
if a.init:
    from safetensors.torch import load_file
    stack.load_state_dict({k.removeprefix("linear_relu_stack."): v for k, v in load_file(a.init).items()})
model = nn.Sequential(nn.Unflatten(1, (1, 28, 28)) if a.feed == "memory" else nn.Identity(), *convolutions, nn.Flatten(), stack).to(device)
if not convolutions:
    model = nn.Sequential(nn.Flatten(), stack).to(device)
elif a.tuned:
    model = model.to(memory_format=torch.channels_last)
loss_fn, sgd = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=a.learning_rate)

if a.feed == "loader":
    root = tempfile.mkdtemp()
    raw = os.path.join(root, "MNIST", "raw")
    os.makedirs(raw)
    for name in os.listdir(a.data):
        if name.endswith("ubyte.gz"):
            with gzip.open(os.path.join(a.data, name)) as f, open(os.path.join(raw, name[:-3]), "wb") as g:
                shutil.copyfileobj(f, g)
    train, test = loader_feed(True, a.shuffle, root), loader_feed(False, False, root)
else:
    train, test = memory_feed("train", a.shuffle), memory_feed("t10k", False)


def evaluate(feed):
    loss, correct, batches, n = 0.0, 0, 0, 0
    with torch.no_grad():
        for x, y in feed:
            x, y = x.to(device), y.to(device)
            out = model(x)
            loss += loss_fn(out, y).item()
            correct += (out.argmax(1) == y).sum().item()
            batches, n = batches + 1, n + len(y)
    return loss / batches, correct / n


linears = [layer for layer in stack if isinstance(layer, nn.Linear)]


def step(x, y):
    loss = loss_fn(model(x), y)
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    return loss


@torch.no_grad()
def tuned_step(x, y):
    inputs = [x.flatten(1)]
    for layer in linears[:-1]:
        inputs.append(torch.addmm(layer.bias, inputs[-1], layer.weight.t()).relu_())
    log = torch.log_softmax(torch.addmm(linears[-1].bias, inputs[-1], linears[-1].weight.t()), 1)
    rows = torch.arange(len(y), device=y.device)
    gradient = log.exp()
    gradient[rows, y] -= 1
    gradient /= len(y)
    for layer, given in zip(reversed(linears), reversed(inputs)):
        before = None
        if layer is not linears[0]:
            before = (gradient @ layer.weight).mul_(given > 0)
        layer.weight.addmm_(gradient.t(), given, alpha=-a.learning_rate)
        layer.bias.sub_(gradient.sum(0), alpha=a.learning_rate)
        gradient = before
    return -log[rows, y].mean()


if a.tuned and not convolutions:
    step = tuned_step
steps = []
for epoch in range(1, a.epochs + 1):
    t0, losses = time.perf_counter(), []
    for i, (x, y) in enumerate(train):
        x, y = x.to(device), y.to(device)
        loss = step(x, y)
        if i % 100 == 0:
            losses.append(loss.item())
    if a.device == "cuda":
        torch.cuda.synchronize()
    t1 = time.perf_counter()
    (train_loss, train_acc), (test_loss, test_acc) = evaluate(train), evaluate(test)
    steps.append(losses)
    print(json.dumps(dict(epoch=epoch, train_seconds=round(t1 - t0, 6), eval_seconds=round(time.perf_counter() - t1, 6),
                          train_loss=train_loss, train_accuracy=train_acc, test_loss=test_loss, test_accuracy=test_acc)), flush=True)
if a.step_losses:
    with open(a.step_losses, "w") as f:
        json.dump(steps, f)
if a.save:
    from safetensors.torch import save_file
    save_file({"linear_relu_stack." + k: v for k, v in stack.state_dict().items()}, a.save)
if a.feed == "loader":
    shutil.rmtree(root)
