"""The cluster for tests of librdkafka, told on standard input what to do: three brokers in this process, whose leaders can be moved
and which can be taken down with their log kept. What is said there is produced by librdkafka.

  make TOPIC PARTITIONS     say TOPIC CODEC HEX...     lead TOPIC BROKER     down BROKER     up BROKER
  fail API CODE COUNT (so many answers)     forget TOPIC OFFSET (what is below)     speak API FIRST LAST (these versions only)

Each line is answered by `ok`. First it prints the addresses of its brokers. `cluster.py LIBRARY`.
"""
import ctypes
import sys

PRODUCER = 0
COPY = 2
FUNCTIONS = {
    "conf_new": ctypes.c_void_p, "conf_set": ctypes.c_int, "new": ctypes.c_void_p, "topic_new": ctypes.c_void_p,
    "produce": ctypes.c_int, "flush": ctypes.c_int, "mock_cluster_new": ctypes.c_void_p,
    "mock_cluster_bootstraps": ctypes.c_char_p, "mock_topic_create": ctypes.c_int, "mock_partition_set_leader": ctypes.c_int,
    "mock_broker_set_down": ctypes.c_int, "mock_broker_set_up": ctypes.c_int, "mock_partition_delete_records": ctypes.c_int,
    "mock_set_apiversion": ctypes.c_int, "mock_push_request_errors_array": None,
}


class Cluster:
    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        for name, gives in FUNCTIONS.items():
            getattr(self.library, f"rd_kafka_{name}").restype = gives
        self.cluster = ctypes.c_void_p(self.call("mock_cluster_new", self.client({"log_level": "0"}), 3))
        self.brokers = self.call("mock_cluster_bootstraps", self.cluster)
        self.producers = {}

    def call(self, name, *arguments):
        return getattr(self.library, f"rd_kafka_{name}")(*arguments)

    def client(self, settings):
        why = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self.call("conf_new"))
        for key, value in settings.items():
            if self.call("conf_set", conf, key.encode(), value.encode(), why, 512) != 0:
                sys.exit(why.value.decode())
        client = self.call("new", PRODUCER, conf, why, 512)
        return ctypes.c_void_p(client) if client else sys.exit(why.value.decode())

    def say(self, topic, codec, *values):
        if codec not in self.producers:
            settings = {"bootstrap.servers": self.brokers.decode(), "compression.codec": codec, "linger.ms": "20", "log_level": "0",
                        "retry.backoff.ms": "20", "reconnect.backoff.max.ms": "100"}
            self.producers[codec] = self.client(settings)
        producer = self.producers[codec]
        to = ctypes.c_void_p(self.call("topic_new", producer, topic.encode(), None))
        for value in map(bytes.fromhex, values):
            code = self.call("produce", to, 0, COPY, value, ctypes.c_size_t(len(value)), None, ctypes.c_size_t(0), None)
            if code != 0:
                return code
        return self.call("flush", producer, 20_000)

    def make(self, topic, partitions):
        return self.call("mock_topic_create", self.cluster, topic.encode(), int(partitions), 3)

    def lead(self, topic, broker):
        return self.call("mock_partition_set_leader", self.cluster, topic.encode(), 0, int(broker))

    def down(self, broker):
        return self.call("mock_broker_set_down", self.cluster, int(broker))

    def up(self, broker):
        return self.call("mock_broker_set_up", self.cluster, int(broker))

    def fail(self, api, code, count):
        codes = (ctypes.c_int * int(count))(*[int(code)] * int(count))
        self.call("mock_push_request_errors_array", self.cluster, ctypes.c_int16(int(api)), ctypes.c_size_t(int(count)), codes)
        return 0

    def forget(self, topic, offset):
        return self.call("mock_partition_delete_records", self.cluster, topic.encode(), 0, ctypes.c_int64(int(offset)))

    def speak(self, *numbers):
        return self.call("mock_set_apiversion", self.cluster, *(ctypes.c_int16(int(number)) for number in numbers))


def main():
    cluster = Cluster(sys.argv[1])
    print(cluster.brokers.decode(), flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        code = getattr(cluster, word)(*rest)
        print("ok" if code == 0 else f"error {code}", flush=True)


main()
