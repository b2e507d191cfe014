"""Checks ONNX files and runs them over images, in batches of two sizes: run.py folder, which
has images.u8, shape and INPUT-NAME.onnx. Writes the logits to INPUT-NAME.f32."""

import pathlib
import sys

import numpy
import onnx
import onnxruntime

folder = pathlib.Path(sys.argv[1])
shape = [int(n) for n in (folder / "shape").read_text().split()]
pixels = numpy.fromfile(folder / "images.u8", numpy.uint8).reshape(-1, 1, *shape)
scales = {"uint8": pixels, "float": pixels.astype(numpy.float32) / numpy.float32(255), "float255": pixels.astype(numpy.float32)}
for file in folder.glob("*.onnx"):
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    images = scales[file.stem.split("-")[0]]
    outputs = []
    first = 0
    while first < len(images):
        size = 1 if first < 3 else 1000
        outputs.append(session.run(None, {"image": images[first : first + size]}))
        first += size
    logits = numpy.concatenate([o[0] for o in outputs])
    probabilities = numpy.concatenate([o[1] for o in outputs])
    exact = numpy.exp(logits - logits.max(1, keepdims=True), dtype=numpy.float64)
    numpy.testing.assert_allclose(probabilities, exact / exact.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)
    logits.tofile(file.with_suffix(".f32"))
