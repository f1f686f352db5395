#!/usr/bin/env python3
"""Makes of each case what the peers read: ONNX, TorchScript, TFLite in f32 and int8, ncnn.

usage: convert.py FOLDER [CASE...]     each folder in it is a case, as `ours.rs export` writes it
What cannot be made is no error here: why.json in the case's folder says what and why, and the table quotes it.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.filterwarnings("ignore")

import numpy
import torch
from safetensors.torch import load_file

import networks

CONVOLUTIONAL = {"mobilenet-v2", "efficientnet-lite0", "resnet18"}


def example_of(folder):
    kind = "<u4" if "@" in folder.name else "<f4"
    values = numpy.fromfile(folder / "input.bin", kind)
    return torch.from_numpy(values.astype(numpy.int64) if kind == "<u4" else values)


class ChannelsLast(torch.nn.Module):
    """With the picture as TFLite has it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.permute(0, 3, 1, 2))


def to_torchscript(folder, made, example):
    with torch.no_grad():
        torch.jit.trace(made, example, check_trace=False).save(folder / "model.pt")


def to_onnx(folder, made, example):
    with torch.no_grad():
        torch.onnx.export(
            made, (example,), folder / "model.onnx", dynamo=False, opset_version=17, do_constant_folding=True,
            input_names=["input"], output_names=["output"],
        )


def to_tflite(folder, made, example):
    import litert_torch

    if example.dtype == torch.float32:
        made, example = ChannelsLast(made).eval(), example.permute(0, 2, 3, 1).contiguous()
    else:
        example = example.to(torch.int32)
    litert_torch.convert(made, (example,)).export(str(folder / "model.tflite"))


def to_int8(folder, made, example):
    """Convolutions with fixed ranges of what goes through them, found with other photographs. Transformers, as is usual, with
    ranges that are found anew in each forward: with fixed ones most of the result was lost, and they were slower."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    source, target = folder / "model.tflite", folder / "model.int8.tflite"
    target.unlink(missing_ok=True)
    if folder.name not in CONVOLUTIONAL:
        quantizer.Quantizer(str(source), recipe.dynamic_wi8_afp32()).quantize().export_model(str(target))
        return
    (name,) = Interpreter(str(source)).get_signature_runner().get_input_details()
    others = numpy.fromfile(folder / "calibration.bin", "<f4").reshape(-1, *example.permute(0, 2, 3, 1).shape)
    made = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
    calibrated = made.calibrate({"serving_default": [{name: one} for one in others]})
    made.quantize(calibrated).export_model(str(target))


def to_ncnn(folder, made, example):
    tool = pathlib.Path(sys.executable).with_name("pnnx")
    kind = "" if example.dtype == torch.float32 else "i64"
    shape = ",".join(str(size) for size in example.shape)
    # It leaves a dozen files beside those that are wanted.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [
            tool, folder / "model.pt", f"inputshape=[{shape}]{kind}", "fp16=0",
            f"ncnnparam={folder / 'model.ncnn.param'}", f"ncnnbin={folder / 'model.ncnn.bin'}",
        ]
        done = subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in done.stdout.splitlines():
            # It goes on without what it does not know, and makes a file that cannot run.
            if "not supported yet" in line or "unsupported" in line.lower():
                raise RuntimeError(line.strip())
        if done.returncode:
            raise RuntimeError(f"pnnx ended with {done.returncode}: {done.stdout.splitlines()[-1]}")
        for path in folder.glob("model.pnnx.*"):
            path.unlink()
        for path in [*folder.glob("model_pnnx.py"), *folder.glob("model_ncnn.py")]:
            path.unlink()


STEPS = {
    "model.pt": to_torchscript, "model.onnx": to_onnx, "model.tflite": to_tflite, "model.int8.tflite": to_int8,
    "model.ncnn.param": to_ncnn,
}


def convert(folder):
    case = example_of(folder)
    made, example = networks.network(folder.name, load_file(folder / "weights.safetensors"), case)
    expected = numpy.fromfile(folder / "expected.bin", "<f4")
    with torch.no_grad():
        got = made(example).numpy().ravel()
    error = float(numpy.abs(got - expected).max() / numpy.abs(expected).max())
    print(f"{folder.name}: PyTorch's description differs from ours by {error:.1e}, relative to the largest value", flush=True)
    if got.shape != expected.shape or not error < 1e-4:
        sys.exit(f"error: {folder.name} is another network there")
    why = {}
    for name, step in STEPS.items():
        try:
            step(folder, made, example)
        except Exception as error:
            why[name] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            print(f"  no {name}: {why[name]}", flush=True)
    (folder / "why.json").write_text(json.dumps(why, indent=2) + "\n")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    names = sys.argv[2:] or sorted(path.name for path in root.iterdir())
    for name in names:
        convert(root / name)


if __name__ == "__main__":
    main()
