#!/usr/bin/env python3
"""Makes tests/oracles/preprocess/: a real photo as camera frames, and what OpenCV makes of them.

Run:  python3 -m venv v && v/bin/pip install opencv-python-headless numpy
      v/bin/python tests/oracles/preprocess.py CHELSEA.png
The photo is `chelsea.png` (CC0) of the scikit-image package. The files were made with OpenCV 5.0.0, numpy 2.4.6.

photo.{yuyv,nv12,jpg}   64x48 camera frames, BT.601 limited range (the JPEG: as its standard says)
jpg.rgb                 the JPEG as decoded by OpenCV's libjpeg-turbo
linear_{format}_WxH.f32 samples averaged in float (INTER_AREA, or INTER_LINEAR when larger), one matrix, clamp
chain_{format}_WxH.f32  the usual chain: OpenCV's conversion to 8-bit RGB, then INTER_AREA in float
All f32 files: little endian, rows of R, G, B as (value - 127) / 128.
"""
import pathlib
import sys

import cv2
import numpy as np

W, H = 64, 48
TO = pathlib.Path(__file__).with_suffix("")


def normalised(rgb):
    return ((rgb - 127.0) / 128.0).astype("<f4")


def resize(plane, size):
    larger = size[0] > plane.shape[1]
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR if larger else cv2.INTER_AREA)


def to_rgb(y, cb, cr):
    """BT.601 limited range, from the standard's luma weights."""
    kr, kb = 0.299, 0.114
    y, cb, cr = (y - 16) * 255 / 219, (cb - 128) * 255 / 224, (cr - 128) * 255 / 224
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.stack([r, g, b], axis=-1).clip(0, 255)


def main(photo):
    bgr = cv2.imread(photo)
    bgr = cv2.resize(bgr[:300, 25:425], (W, H), interpolation=cv2.INTER_AREA)
    b, g, r = (bgr[..., c].astype(np.float64) for c in range(3))
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    full = [16 + luma * 219 / 255, 128 + (b - luma) / 1.772 * 224 / 255, 128 + (r - luma) / 1.402 * 224 / 255]
    y, cb, cr = (np.round(p) for p in full)
    half = [np.round((p[:, ::2] + p[:, 1::2]) / 2) for p in (full[1], full[2])]
    quarter = [np.round((p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4) for p in (full[1], full[2])]

    yuyv = np.empty((H, W * 2), np.uint8)
    yuyv[:, ::2], yuyv[:, 1::4], yuyv[:, 3::4] = y, half[0], half[1]
    nv12 = np.empty((H * 3 // 2, W), np.uint8)
    nv12[:H], nv12[H:, ::2], nv12[H:, 1::2] = y, quarter[0], quarter[1]
    yuyv.tofile(TO / "photo.yuyv")
    nv12.tofile(TO / "photo.nv12")
    jpg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    jpg.tofile(TO / "photo.jpg")
    cv2.imdecode(jpg, cv2.IMREAD_COLOR)[..., ::-1].tofile(TO / "jpg.rgb")

    planes = {
        "yuyv": [y, *(np.repeat(p, 2, axis=1) for p in half)],
        "nv12": [y, *(np.repeat(np.repeat(p, 2, axis=0), 2, axis=1) for p in quarter)],
    }
    chain = {
        "yuyv": cv2.cvtColor(yuyv.reshape(H, W, 2), cv2.COLOR_YUV2RGB_YUY2),
        "nv12": cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12),
    }
    for name in planes:
        for size in [(20, 15), (28, 28), (13, 7), (70, 50)]:
            linear = to_rgb(*(resize(p.astype(np.float32), size) for p in planes[name]))
            normalised(linear).tofile(TO / f"linear_{name}_{size[0]}x{size[1]}.f32")
        usual = resize(chain[name].astype(np.float32), (20, 15))
        normalised(usual).tofile(TO / f"chain_{name}_20x15.f32")


main(sys.argv[1])
