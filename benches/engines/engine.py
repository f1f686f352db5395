#!/usr/bin/env python3
"""One of the engines that are called from Python: answers, line by line, what run.py asks. See README.md.

usage: engine.py ENGINE PRECISION THREADS      ENGINE is onnxruntime, openvino, xnnpack, pytorch or ncnn
"""
import os
import pathlib
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy

# Forwards before the first that is timed: memory comes into being, and the processor leaves its idle frequency.
WARM_UP = 3


def case_of(folder):
    """The case's input: a picture as [1][colour][row][column], or words as [1][place]."""
    if "@" in folder.name:
        return numpy.fromfile(folder / "input.bin", "<u4").astype(numpy.int64)[None]
    values = numpy.fromfile(folder / "input.bin", "<f4")
    side = round((values.size // 3) ** 0.5)
    return numpy.ascontiguousarray(values.reshape(1, side, side, 3).transpose(0, 3, 1, 2))


def onnxruntime(folder, precision, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    # Bound once, so that no forward makes or copies an array.
    bound = session.io_binding()
    bound.bind_ortvalue_input("input", onnxruntime.OrtValue.ortvalue_from_numpy(case_of(folder)))
    shape = session.get_outputs()[0].shape
    output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, numpy.float32)
    bound.bind_ortvalue_output("output", output)
    return lambda: session.run_with_iobinding(bound), output.numpy


def openvino(folder, precision, threads):
    import openvino

    case = case_of(folder)
    core = openvino.Core()
    model = core.read_model(folder / "model.onnx")
    model.reshape(list(case.shape))
    request = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "ENABLE_CPU_PINNING": "NO",
        "INFERENCE_PRECISION_HINT": precision,
    }).create_infer_request()
    request.set_input_tensor(openvino.Tensor(case))
    return request.infer, lambda: request.get_output_tensor().data


def pytorch(folder, precision, threads):
    import torch

    torch.set_num_threads(threads)
    # For the rest of the process.
    torch.inference_mode().__enter__()
    case = torch.from_numpy(case_of(folder))
    made = torch.jit.load(folder / "model.pt").eval()
    # What was fastest of: as it comes, frozen, frozen and optimised, channels last, compiled by inductor.
    if case.ndim == 4:
        made = torch.jit.freeze(made.to(memory_format=torch.channels_last))
        case = case.contiguous(memory_format=torch.channels_last)
    else:
        made = torch.jit.optimize_for_inference(torch.jit.freeze(made))
    return lambda: made(case), lambda: made(case).numpy()


def xnnpack(folder, precision, threads):
    from ai_edge_litert.interpreter import Interpreter

    name = {"f32": "model.tflite", "int8": "model.int8.tflite"}[precision]
    # It takes XNNPACK by itself, and says so.
    runs = Interpreter(str(folder / name), num_threads=threads)
    runs.allocate_tensors()
    (into,), (out,) = runs.get_input_details(), runs.get_output_details()
    case = case_of(folder)
    case = case.transpose(0, 2, 3, 1) if case.ndim == 4 else case
    # With fixed ranges its input is int8 and its output too: what that costs stays out of its time.
    if into["dtype"] == numpy.int8:
        scale, zero = into["quantization"]
        case = numpy.clip(numpy.rint(case / scale) + zero, -128, 127)
    runs.set_tensor(into["index"], case.astype(into["dtype"]))

    def output():
        values = runs.get_tensor(out["index"])
        scale, zero = out["quantization"]
        return values if values.dtype == numpy.float32 else (values.astype(numpy.float32) - zero) * scale

    return runs.invoke, output


def ncnn(folder, precision, threads):
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(folder / "model.ncnn.param")) or net.load_model(str(folder / "model.ncnn.bin")):
        raise RuntimeError("ncnn does not load what pnnx made")
    case = case_of(folder)
    # A clone, because a Mat does not keep its array alive.
    into = ncnn.Mat(case[0] if case.ndim == 4 else case[0].astype(numpy.int32)).clone()

    def run():
        extractor = net.create_extractor()
        extractor.input("in0", into)
        code, output = extractor.extract("out0")
        if code:
            raise RuntimeError(f"ncnn ended with {code}")
        return output

    return run, lambda: numpy.array(run())


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino, "pytorch": pytorch, "xnnpack": xnnpack, "ncnn": ncnn}


def times(run, budget_ms):
    """One forward that is not counted, then forwards for so long, at least one."""
    run()
    clock, taken = time.perf_counter_ns, []
    used = time.process_time_ns()
    end = clock() + budget_ms * 1_000_000
    while True:
        begin = clock()
        run()
        now = clock()
        taken.append(now - begin)
        if now >= end:
            return time.process_time_ns() - used, taken


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    engine, precision, threads = ENGINES[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run = output = None
    for line in sys.stdin:
        asked, *more = line.split()
        if asked == "load":
            run = output = None
            try:
                run, output = engine(pathlib.Path(more[1]), precision, threads)
                for _ in range(WARM_UP):
                    run()
                numpy.ascontiguousarray(output(), "<f4").tofile(more[2])
                answer = "ok"
            except Exception as error:
                run = None
                answer = "no " + f"{type(error).__name__}: {error}".replace("\n", "; ")[:300]
        else:
            used, taken = times(run, int(more[0]))
            answer = " ".join(str(number) for number in [used, *taken])
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
