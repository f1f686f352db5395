"""Reads a recording with the official MCAP reader and the ROS 2 decoder, and tells what it found as JSON."""

import json
import sys

from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory


def plain(value):
    """The first values of a decoded message, as JSON knows them."""
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": len(value), "first": list(value[:8])}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value[:16]]
    if hasattr(value, "__slots__"):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    return value


def main(path):
    topics = {}
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        counts = summary.statistics.channel_message_counts
        for schema, channel, message, decoded in reader.iter_decoded_messages(log_time_order=False):
            seen = topics.setdefault(channel.topic, {"schema": schema.name, "read": 0, "first": plain(decoded)})
            seen["read"] += 1
            seen["counted"] = counts[channel.id]
        attachments = [a.name for a in reader.iter_attachments()]
        metadata = {m.name: m.metadata for m in reader.iter_metadata()}
    json.dump({"topics": topics, "attachments": attachments, "metadata": metadata}, sys.stdout)


main(sys.argv[1])
