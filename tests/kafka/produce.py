"""Produces what it is told on standard input, and says so: an outside producer for the tests.

A line is `TOPIC HEX` or `TOPIC HEX STAMP`, with the value in hexadecimal and the stamp in milliseconds since 1970. Each is answered by its
offset once the broker has it. `*` in front of a line: not answered, and not waited for; `flush` waits for all.

`produce.py BROKER [COMPRESSION]`; the package is found in PYTHONPATH.
"""
import sys

from kafka import KafkaProducer


def main():
    compression = sys.argv[2] if len(sys.argv) > 2 else None
    producer = KafkaProducer(bootstrap_servers=sys.argv[1], acks="all", compression_type=compression, linger_ms=0,
                             max_request_size=64 << 20)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "flush":
            producer.flush()
            print("flushed", flush=True)
            continue
        waits = not line.startswith("*")
        topic, value, *stamp = line.removeprefix("*").split(" ")
        stamp = int(stamp[0]) if stamp else None
        sent = producer.send(topic, bytes.fromhex(value.strip()), partition=0, timestamp_ms=stamp)
        if waits:
            print(sent.get(60).offset, flush=True)


main()
