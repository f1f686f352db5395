"""Compares the percentiles of a bench.json with its raw logs: `hlog.py FOLDER`.

The logs are read here by the published description of the HdrHistogram formats (interval log 1.3, V2 encoding), with nothing
but Python's own library, so that the project's reader and writer are not asked about themselves.
"""

import base64
import json
import math
import struct
import sys
import zlib
from pathlib import Path


def counts(text: str) -> dict[int, int]:
    """Highest value of a bucket to how often, of one encoded histogram."""
    packed = base64.b64decode(text)
    assert struct.unpack(">i", packed[:4])[0] & ~0xF0 == 0x1C849304
    raw = zlib.decompress(packed[8:])
    cookie, length, _, digits, lowest, _, _ = struct.unpack(">iiiiqqd", raw[:40])
    assert cookie & ~0xF0 == 0x1C849303
    payload = raw[40 : 40 + length]

    half_magnitude = math.ceil(math.log2(2 * 10**digits)) - 1
    half, unit = 1 << half_magnitude, int(math.log2(lowest))
    found: dict[int, int] = {}
    at = index = 0
    while at < len(payload):
        number = shift = 0
        for n in range(9):
            byte = payload[at]
            at += 1
            # The ninth byte has eight bits of the number and no flag.
            number |= (byte if n == 8 else byte & 0x7F) << shift
            if n == 8 or not byte & 0x80:
                break
            shift += 7
        count = (number >> 1) ^ -(number & 1)
        if count <= 0:
            # Buckets that are empty: one is written as 0, more as their number below it.
            index += max(1, -count)
            continue
        bucket, sub = (index >> half_magnitude) - 1, (index & (half - 1)) + half
        if bucket < 0:
            bucket, sub = 0, sub - half
        low = sub << (bucket + unit)
        found[low + (1 << (bucket + unit)) - 1] = count
        index += 1
    return found


def whole(path: Path) -> list[tuple[int, int]]:
    """All intervals of a log together, upwards."""
    found: dict[int, int] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in '#"':
            for value, count in counts(line.rsplit(",", 1)[1]).items():
                found[value] = found.get(value, 0) + count
    return sorted(found.items())


def at_quantile(values: list[tuple[int, int]], quantile: float) -> int:
    wanted = max(1, math.ceil(quantile * sum(count for _, count in values)))
    seen = 0
    for value, count in values:
        seen += count
        if seen >= wanted:
            return value
    return 0


def main(folder: Path) -> int:
    bench = json.loads((folder / "bench.json").read_text())
    compared = differ = 0
    for part in bench["parts"]:
        for latency in part["latencies"]:
            values = whole(folder / part["report"] / "hlog" / (latency["name"].replace(" ", "-") + ".hlog"))
            total = sum(count for _, count in values)
            wanted = {"count": (total, 0)}
            for key, quantile in (("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999), ("p9999_ns", 0.9999)):
                if latency[key] is not None:
                    # A bucket's highest value may lie above the largest sample; so the maximum bounds it.
                    value = min(at_quantile(values, quantile), latency["max_ns"])
                    wanted[key] = (value, 1 + value // 1000)
            for key, (value, tolerance) in wanted.items():
                compared += 1
                if abs(value - latency[key]) > tolerance:
                    differ += 1
                    print(f"{part['name']}, {latency['name']}, {key}: {latency[key]} in bench.json, {value} in the log")
    print(f"{compared} numbers compared, {differ} differ")
    return 1 if differ or not compared else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
