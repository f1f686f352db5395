#!/usr/bin/env python3
"""Times onnxruntime on the vision encoder's own weights, one thread, beside which `cargo bench --bench encoder` stands.

usage: encoder_onnxruntime.py EFFICIENTNET-LITE0.safetensors [FORWARDS=1000]
needs: pip install numpy onnx onnxruntime safetensors

Builds the network up to the feature map (convolutions, batch normalisation folded, ReLU6; no pooling, no classifier) as an
ONNX graph, checks that it gives a map of 1280 x 7 x 7, and prints the percentiles of a forward. Pin it to a core with
`taskset -c 1`.
"""

import sys
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

# Repeat, kernel, stride, expand, outputs.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


class Graph:
    """Grows by a layer a call; each returns the name of its output."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.constants = []
        self.nodes = []
        self.zero = self.constant(numpy.array(0, numpy.float32))
        self.six = self.constant(numpy.array(6, numpy.float32))

    def constant(self, values):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
        return name

    def node(self, kind, inputs, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def convolution(self, x, name, norm, stride=1, groups=1, relu6=True):
        weights = self.tensors[f"{name}.weight"].astype(numpy.float64)
        gain, shift, mean, variance = (
            self.tensors[f"{norm}.{part}"].astype(numpy.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / numpy.sqrt(variance + 1e-3)
        weights = (weights * factor[:, None, None, None]).astype(numpy.float32)
        bias = (shift - mean * factor).astype(numpy.float32)
        x = self.node(
            "Conv",
            [x, self.constant(weights), self.constant(bias)],
            auto_pad="SAME_UPPER",
            strides=[stride, stride],
            group=groups,
            kernel_shape=list(weights.shape[2:]),
        )
        return self.node("Clip", [x, self.zero, self.six]) if relu6 else x


def build(path):
    graph = Graph(load_file(path))
    x = graph.convolution("picture", "_conv_stem", "_bn0", stride=2)
    inputs, index = 32, 0
    for repeat, _, first_stride, expand, outputs in STAGES:
        for repetition in range(repeat):
            stride = first_stride if repetition == 0 else 1
            block, before = f"_blocks.{index}.", x
            if expand > 1:
                x = graph.convolution(x, block + "_expand_conv", block + "_bn0")
            x = graph.convolution(
                x, block + "_depthwise_conv", block + "_bn1", stride, groups=inputs * expand
            )
            x = graph.convolution(x, block + "_project_conv", block + "_bn2", relu6=False)
            if stride == 1 and inputs == outputs:
                x = graph.node("Add", [x, before])
            inputs, index = outputs, index + 1
    x = graph.convolution(x, "_conv_head", "_bn1")
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 224, 224])
    features = helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 1280, 7, 7])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "encoder", [picture], [features], graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    forwards = int(sys.argv[2]) if len(sys.argv) == 3 else 1000
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        build(sys.argv[1]), options, providers=["CPUExecutionProvider"]
    )
    picture = numpy.random.default_rng(1).uniform(-1, 1, (1, 3, 224, 224)).astype(numpy.float32)
    (features,) = session.run(None, {"picture": picture})
    assert features.shape == (1, 1280, 7, 7) and numpy.isfinite(features).all()
    times = []
    for _ in range(forwards):
        begin = time.perf_counter_ns()
        session.run(None, {"picture": picture})
        times.append(time.perf_counter_ns() - begin)
    times.sort()
    percentiles = {"min": 0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1}
    line = "  ".join(
        f"{name} {times[min(int(share * forwards), forwards - 1)] / 1e6:.3f} ms"
        for name, share in percentiles.items()
    )
    print(f"onnxruntime {onnxruntime.__version__}, one thread, {forwards} forwards: {line}")


if __name__ == "__main__":
    main()
