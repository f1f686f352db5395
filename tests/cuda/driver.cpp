// NVIDIA's driver, as far as src/inference/cuda/driver.rs calls it, for a device that this processor stands in for: streams are
// threads, kernels are those of emulator.cpp. Stricter than the real one where that is easy: what needs a context of this
// thread, an allocation that is there, or a stream that is not captured is refused without it.
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

extern "C" int emulate(const char *name, const unsigned *grid, unsigned block, const void *from, size_t bytes, int turned);
extern "C" size_t bytes_of_arguments(const char *name);

enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALISED = 3, INVALID_CONTEXT = 201, NOT_FOUND = 500, NOT_READY = 600, UNSUPPORTED_IN_CAPTURE = 900 };

using Work = std::function<void()>;
struct Graph {
  std::vector<Work> work;
};
struct Stream {
  std::mutex lock;
  std::condition_variable more, less;
  std::deque<Work> waiting;
  bool is_over = false, is_busy = false;
  Graph *captured = nullptr;
  std::thread thread;
  Stream() : thread([this] { run(); }) {}
  void run() {
    std::unique_lock<std::mutex> held(lock);
    for (;;) {
      more.wait(held, [this] { return is_over || !waiting.empty(); });
      if (waiting.empty()) return;
      Work next = waiting.front();
      waiting.pop_front();
      is_busy = true;
      held.unlock();
      next();
      held.lock();
      is_busy = false;
      less.notify_all();
    }
  }
  int put(Work work) {
    if (captured) {
      captured->work.push_back(work);
      return OK;
    }
    std::lock_guard<std::mutex> held(lock);
    waiting.push_back(work);
    more.notify_one();
    return OK;
  }
};

static bool is_initialised, is_capturing;
static thread_local void *current;
static std::mutex registry;
static std::map<char *, size_t> device_memory, pinned;
// The kernels of emulator.cpp have one set of static memory.
static std::mutex one_kernel;
static int context;

// Tests look at these.
extern "C" int live_allocations() {
  std::lock_guard<std::mutex> held(registry);
  return (int)(device_memory.size() + pinned.size());
}

static bool is_within(std::map<char *, size_t> &all, const void *at, size_t bytes) {
  std::lock_guard<std::mutex> held(registry);
  auto after = all.upper_bound((char *)at);
  if (after == all.begin()) return false;
  auto part = --after;
  return (char *)at + bytes <= part->first + part->second;
}

static int take(std::map<char *, size_t> &all, void **to, size_t bytes) {
  if (!current) return INVALID_CONTEXT;
  if (is_capturing) return UNSUPPORTED_IN_CAPTURE;
  if (bytes == 0) return INVALID_VALUE;
  *to = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(*to, 0xff, bytes);
  std::lock_guard<std::mutex> held(registry);
  all[(char *)*to] = bytes;
  return OK;
}

static int give_back(std::map<char *, size_t> &all, void *at) {
  if (!current) return INVALID_CONTEXT;
  std::lock_guard<std::mutex> held(registry);
  if (!all.erase((char *)at)) return INVALID_VALUE;
  free(at);
  return OK;
}

extern "C" {
int cuInit(unsigned) { is_initialised = true; return OK; }
int cuDriverGetVersion(int *to) { *to = 13000; return OK; }
int cuDeviceGetCount(int *to) { *to = 1; return is_initialised ? OK : NOT_INITIALISED; }
int cuDeviceGet(int *to, int ordinal) { *to = ordinal; return ordinal == 0 ? OK : INVALID_VALUE; }
int cuDeviceGetName(char *to, int length, int) { strncpy(to, "a processor", length); return OK; }
int cuDeviceGetAttribute(int *to, int attribute, int) {
  const char *integrated = getenv("STAND_IN_INTEGRATED");
  switch (attribute) {
    case 16: *to = 8; return OK;
    case 18: *to = integrated != nullptr; return OK;
    case 75: *to = 8; return OK;
    case 76: *to = 7; return OK;
    default: return INVALID_VALUE;
  }
}
int cuDevicePrimaryCtxRetain(void **to, int) { *to = &context; return OK; }
int cuDevicePrimaryCtxRelease_v2(int) { return OK; }
int cuCtxSetCurrent(void *to) { current = to; return OK; }
int cuCtxSynchronize() { return is_capturing ? UNSUPPORTED_IN_CAPTURE : current ? OK : INVALID_CONTEXT; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return current ? OK : INVALID_CONTEXT; }
int cuModuleLoadData(void **to, const void *) { *to = &context; return current ? OK : INVALID_CONTEXT; }
int cuModuleUnload(void *) { return OK; }
int cuModuleGetFunction(void **to, void *, const char *name) {
  if (!bytes_of_arguments(name)) return NOT_FOUND;
  *to = strdup(name);
  return OK;
}
int cuMemAlloc_v2(unsigned long long *to, size_t bytes) { return take(device_memory, (void **)to, bytes); }
int cuMemFree_v2(unsigned long long at) { return give_back(device_memory, (void *)at); }
int cuMemsetD8_v2(unsigned long long at, unsigned char value, size_t bytes) {
  if (!is_within(device_memory, (void *)at, bytes)) return INVALID_VALUE;
  memset((void *)at, value, bytes);
  return OK;
}
int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t bytes) {
  if (!current || is_capturing || !is_within(device_memory, (void *)to, bytes)) return INVALID_VALUE;
  memcpy((void *)to, from, bytes);
  return OK;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, Stream *stream) {
  if (!current || !is_within(device_memory, (void *)to, bytes) || !is_within(pinned, from, bytes)) return INVALID_VALUE;
  return stream->put([=] { memcpy((void *)to, from, bytes); });
}
int cuMemHostAlloc(void **to, size_t bytes, unsigned flags) { return flags == 3 ? take(pinned, to, bytes) : INVALID_VALUE; }
int cuMemFreeHost(void *at) { return give_back(pinned, at); }
int cuMemHostGetDevicePointer_v2(unsigned long long *to, void *at, unsigned) { *to = (unsigned long long)at; return OK; }
int cuStreamCreateWithPriority(void **to, unsigned flags, int priority) {
  if (!current || flags != 1 || priority != -5) return INVALID_VALUE;
  *to = new Stream;
  return OK;
}
int cuStreamDestroy_v2(Stream *stream) {
  {
    std::lock_guard<std::mutex> held(stream->lock);
    stream->is_over = true;
    stream->more.notify_one();
  }
  stream->thread.join();
  delete stream;
  return OK;
}
int cuStreamQuery(Stream *stream) {
  std::lock_guard<std::mutex> held(stream->lock);
  return stream->waiting.empty() && !stream->is_busy ? OK : NOT_READY;
}
int cuStreamSynchronize(Stream *stream) {
  if (!current) return INVALID_CONTEXT;
  std::unique_lock<std::mutex> held(stream->lock);
  stream->less.wait(held, [stream] { return stream->waiting.empty() && !stream->is_busy; });
  return OK;
}
int cuStreamBeginCapture_v2(Stream *stream, int mode) {
  if (!current || stream->captured || mode != 1) return INVALID_VALUE;
  stream->captured = new Graph;
  is_capturing = true;
  return OK;
}
int cuStreamEndCapture(Stream *stream, Graph **to) {
  *to = stream->captured;
  stream->captured = nullptr;
  is_capturing = false;
  return OK;
}
int cuGraphInstantiateWithFlags(Graph **to, Graph *graph, unsigned long long flags) { *to = new Graph(*graph); return flags ? INVALID_VALUE : OK; }
int cuGraphDestroy(Graph *graph) { delete graph; return OK; }
int cuGraphExecDestroy(Graph *graph) { delete graph; return OK; }
int cuGraphUpload(Graph *, Stream *) { return current ? OK : INVALID_CONTEXT; }
int cuGraphLaunch(Graph *graph, Stream *stream) {
  if (!current) return INVALID_CONTEXT;
  for (Work &work : graph->work) stream->put(work);
  return OK;
}
int cuLaunchKernel(const char *name, unsigned x, unsigned y, unsigned z, unsigned block, unsigned by, unsigned bz, unsigned shared,
                   Stream *stream, void **arguments, void **extra) {
  if (!current || by != 1 || bz != 1 || shared || extra || !x || !y || !z || y > 65535 || z > 65535) return INVALID_VALUE;
  // The driver copies as many bytes as the kernel has.
  size_t bytes = bytes_of_arguments(name);
  std::vector<unsigned long long> kept((bytes + 7) / 8);
  memcpy(kept.data(), arguments[0], bytes);
  std::string kernel = name;
  return stream->put([=] {
    if (kernel == "delay") {
      usleep((useconds_t)(kept[0] / 1000));
      return;
    }
    std::lock_guard<std::mutex> held(one_kernel);
    unsigned grid[3] = {x, y, z};
    emulate(kernel.c_str(), grid, block, kept.data(), bytes, 0);
  });
}
int cuGetErrorName(int code, const char **to) {
  *to = code == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_OF_THE_STAND_IN";
  return OK;
}
}
