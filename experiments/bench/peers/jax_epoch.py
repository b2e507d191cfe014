#!/usr/bin/env python3
"""The post's workload in JAX with a whole epoch as one compiled scan, the data resident on the device: the fastest peer known.

    pip install -r requirements.txt
    python jax_epoch.py --data ../../../dataset/mnist
    python jax_epoch.py --data ../../../dataset/mnist --tuned   # the batches of an epoch gathered ahead of the scan,
                                                                # and one thread where a step is small

With --conv-channels every step is a call of its own, because XLA computes a convolution in a loop on the processor 10 to 15
times slower (jax-ml/jax issue 12868). --tuned writes it as a matrix product instead, and the whole epoch is one scan again.
--conv chooses one of three forms: step, scan (a convolution in the scan) or product.

One JSON line per epoch on standard output. The first epoch includes compilation.
"""
import argparse, gzip, json, os, time

p = argparse.ArgumentParser()
p.add_argument("--data", required=True, help="folder with the four IDX .gz files")
p.add_argument("--layer-sizes", default="512,512")
p.add_argument("--conv-channels", default="", help="of convolutions before the layers, each with ReLU and 2x2 max pooling")
p.add_argument("--conv", choices=["step", "scan", "product"])
p.add_argument("--batch-size", type=int, default=64)
p.add_argument("--learning-rate", type=float, default=1e-3)
p.add_argument("--epochs", type=int, default=4)
p.add_argument("--normalize", action=argparse.BooleanOptionalAction, default=False)
p.add_argument("--seed", type=int, default=0)
p.add_argument("--tuned", action="store_true")
a = p.parse_args()
form = a.conv or ("product" if a.tuned else "step")
channels, side = [1] + [int(s) for s in a.conv_channels.split(",") if s], 28
flop = 0
for i, o in zip(channels, channels[1:]):
    flop, side = flop + 6 * (side - 2) ** 2 * 9 * i * o, (side - 2) // 2
sizes = [channels[-1] * side * side] + [int(s) for s in a.layer_sizes.split(",") if s] + [10]
if a.tuned and a.batch_size * (flop + 6 * sum(i * o for i, o in zip(sizes, sizes[1:]))) < 30e6:  # FLOP of a step
    os.environ["NPROC"] = os.environ["PJRT_NPROC"] = "1"  # before jax opens its client
import jax, jax.numpy as jnp, numpy as np

MEAN, STD = (0.1307, 0.3081) if a.normalize else (0.0, 1.0)
B = a.batch_size


def idx(name, offset):
    with gzip.open(os.path.join(a.data, name + ".gz")) as f:
        return np.frombuffer(f.read(), np.uint8, offset=offset)


X, XT = (jnp.array(idx(s + "-images-idx3-ubyte", 16).reshape(-1, 784)) for s in ("train", "t10k"))
Y, YT = (jnp.array(idx(s + "-labels-idx1-ubyte", 8).astype(np.int32)) for s in ("train", "t10k"))
rng = np.random.default_rng(a.seed)
params = [tuple(jnp.array(rng.uniform(-1, 1, s).astype(np.float32) / np.sqrt(9 * i)) for s in ((3, 3, i, o), (o,)))
          for i, o in zip(channels, channels[1:])]
params += [tuple(jnp.array(rng.uniform(-1, 1, s).astype(np.float32) / np.sqrt(i)) for s in ((o, i), (o,)))
           for i, o in zip(sizes, sizes[1:])]


def convolution(x, w):
    if form != "product":
        return jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    b, h, v, c = x.shape
    h, v = (h - 2) // 2 * 2, (v - 2) // 2 * 2  # the pooling drops an odd last row and column
    seen = [x[:, i:h + i, j:v + j] for i in range(3) for j in range(3)]
    return (jnp.concatenate(seen, 3).reshape(-1, 9 * c) @ w.reshape(9 * c, -1)).reshape(b, h, v, -1)


def windows(x):
    b, h, w, c = x.shape
    return x[:, :h // 2 * 2, :w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)


def corners(x):
    x = windows(x)
    return x[:, :, 0, :, 0], x[:, :, 0, :, 1], x[:, :, 1, :, 0], x[:, :, 1, :, 1]


@jax.custom_vjp
def pool(x):
    a, b, c, d = corners(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def unpool(x, g):  # to the first largest, as in PyTorch; faster than to all of them
    a, b, c, d = corners(x)
    first = jnp.where(jnp.maximum(c, d) > jnp.maximum(a, b), jnp.where(d > c, 3, 2), jnp.where(b > a, 1, 0))
    shape = windows(x).shape
    place = jnp.array([[0, 1], [2, 3]])[:, None, :, None]  # an iota would be computed before the scan, at full size
    g = jnp.where(place == first[:, :, None, :, None], g[:, :, None, :, None], 0)
    g = g.reshape(shape[0], 2 * shape[1], 2 * shape[3], shape[5])
    return jnp.pad(g, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0))),


pool.defvjp(lambda x: (pool(x), x), unpool)
stages = len(channels) - 1


def logits(params, x):
    x = ((x.astype(jnp.float32) / 255) - MEAN) / STD
    if stages:
        x = x.reshape(-1, 28, 28, 1)
    for w, b in params[:stages]:
        # The barrier keeps XLA from computing the pooling again for each place of the next kernel.
        x = jax.lax.optimization_barrier(jax.nn.relu(pool(convolution(x, w)) + b))
    x = x.reshape(len(x), -1)
    for w, b in params[stages:-1]:
        x = jax.nn.relu(x @ w.T + b)
    w, b = params[-1]
    return x @ w.T + b


def loss_fn(params, x, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits(params, x)), y[:, None], 1))


@jax.jit
def train_epoch(params, x, y, order):
    def update(params, batch):
        loss, grads = jax.value_and_grad(loss_fn)(params, *batch)
        return jax.tree.map(lambda p, g: p - a.learning_rate * g, params, grads), loss
    def step(params, rows):
        return update(params, (x[rows], y[rows]))
    full = len(order) // B * B
    if a.tuned:
        rows = order[:full]
        params, losses = jax.lax.scan(update, params, (x[rows].reshape(-1, B, 784), y[rows].reshape(-1, B)))
    else:
        params, losses = jax.lax.scan(step, params, order[:full].reshape(-1, B))
    if full < len(order):
        params, _ = step(params, order[full:])
    return params, losses


if stages and form == "step":
    @jax.jit
    def one(params, x, y, order, i):
        rows = jax.lax.dynamic_slice(order, (i * B,), (B,))
        loss, grads = jax.value_and_grad(loss_fn)(params, x[rows], y[rows])
        return jax.tree.map(lambda p, g: p - a.learning_rate * g, params, grads), loss

    @jax.jit
    def last(params, x, y, rows):
        return jax.tree.map(lambda p, g: p - a.learning_rate * g, params, jax.grad(loss_fn)(params, x[rows], y[rows]))

    def train_epoch(params, x, y, order):
        full = len(order) // B
        for i in range(full):
            params, loss = one(params, x, y, order, i)
        return (last(params, x, y, order[full * B:]) if full * B < len(order) else params), loss


@jax.jit
def evaluate(params, x, y):
    def chunk(carry, xy):
        out = logits(params, xy[0])
        nll = -jnp.take_along_axis(jax.nn.log_softmax(out), xy[1][:, None], 1)
        return (carry[0] + nll.sum(), carry[1] + (out.argmax(1) == xy[1]).sum()), None
    k = len(x) // 1000
    return jax.lax.scan(chunk, (0.0, 0), (x.reshape(k, 1000, 784), y.reshape(k, 1000)))[0]


for epoch in range(1, a.epochs + 1):
    t0 = time.perf_counter()
    params, losses = train_epoch(params, X, Y, jnp.array(rng.permutation(len(X)), dtype=jnp.int32))
    jax.block_until_ready((params, losses))
    t1 = time.perf_counter()
    (l, c), (lt, ct) = jax.block_until_ready((evaluate(params, X, Y), evaluate(params, XT, YT)))
    print(json.dumps(dict(epoch=epoch, train_seconds=round(t1 - t0, 6), eval_seconds=round(time.perf_counter() - t1, 6),
                          train_loss=float(l) / len(X), train_accuracy=int(c) / len(X),
                          test_loss=float(lt) / len(XT), test_accuracy=int(ct) / len(XT))), flush=True)
