// A CUDA driver and runtime without a GPU, under the real CuPy.
//
// Device memory is host memory. Work is queued by stream; what no event and no synchronisation orders
// runs as late as possible, as early as possible, or at random (see `Order`), so that a wait which is
// missing gives wrong results. A kernel is a function of this process that was registered for its name;
// with none it costs nothing and does nothing. Misuse is counted and said: streams and events of another
// device, events that are gone, memory that is not pinned or too small, launches beyond the limits.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int Error;
enum { OK = 0, NO_MEMORY = 2, NOT_READY = 600, FAULT = 400 };
typedef enum { NOW, LATE, OTHERS_FIRST, RANDOM } Order;
typedef enum { COPY, FILL, LAUNCH, WAIT, RELEASE } Kind;
typedef const char* (*Kernel)(const char* name, unsigned grid, unsigned block, size_t shared,
                              void* const* values, const size_t* sizes, size_t count, int threads);
enum { DEVICES = 8, STREAMS = 4096, PIECES = 1 << 16, KERNELS = 512, VALUES = 64, GUARD = 64 };
enum { PINNED = 1, DEVICE = 2, POISON = 0xA5 };

typedef struct Stream Stream;
typedef struct {
  Kind kind;
  void* to;
  const void* from;
  size_t size;
  int value;
  Stream* stream;  // WAIT: until so much of this stream is done
  long place;
  struct Registered* kernel;
  unsigned grid, block;
  uint64_t values[VALUES];  // the arguments, one after another
} Work;
struct Stream {
  int device, priority;
  unsigned flags;
  Work* work;
  long queued, done, room;
};
typedef struct {
  int device, gone;
  unsigned flags;
  Stream* stream;  // that it was recorded on
  long place;
} Event;
typedef struct Registered {
  char name[64];
  uintptr_t module;  // its number; 0 for a kernel of every module
  Kernel run;
  size_t sizes[VALUES];
  size_t count;
  unsigned threads;  // the most a block may have
  size_t shared;     // the most dynamic shared memory that was asked for
} Registered;
typedef struct {
  char* start;
  size_t size;
  int kind, device;
} Piece;

static int devices = 1, order = NOW, threads = 0, shared_limit = 232448;
static __thread int device = 0;
static size_t memory = (size_t)8 << 30, used[DEVICES];
static Stream null_streams[DEVICES], *streams[STREAMS];
static int stream_count;
static Piece pieces[PIECES];
static int piece_count;
static Registered kernels[KERNELS];
static int kernel_count;
static Kernel others;                           // run for the kernels that are not registered
static uintptr_t (*loader)(const char* image);  // gives a module its number
static uint64_t seed = 1;
static long faults;
static pthread_mutex_t lock;

// what it counts and logs, for the tests: one line a call, "name stream grid block bytes"
static char* log_text;
static size_t log_size, log_room;
static long calls;

static Error fault(const char* what) {
  ++faults;
  fprintf(stderr, "fake CUDA: %s\n", what);
  return FAULT;
}

static int number_of(const Stream* stream) {
  for (int i = 0; i < stream_count; ++i)
    if (streams[i] == stream) return i + 1;
  return 0;  // a null stream
}

static void note(char when, const char* what, const Stream* stream, size_t a, size_t b) {
  if (!log_room) return;
  if (log_size + 160 > log_room) log_text = realloc(log_text, log_room *= 2);
  log_size += (size_t)snprintf(log_text + log_size, 160, "%c %s %d %d %d %zu %zu\n", when, what,
                               number_of(stream), stream->device, stream->priority, a, b);
}

static Piece* piece_of(const void* at) {
  for (int i = 0; i < piece_count; ++i)
    if (pieces[i].start && (char*)at >= pieces[i].start &&
        (char*)at < pieces[i].start + pieces[i].size)
      return &pieces[i];
  return NULL;
}

static Error allocate(void** to, size_t size, int kind) {
  if (kind == DEVICE && used[device] + size > memory) return NO_MEMORY;
  char* start;
  if (posix_memalign((void**)&start, 512, size + GUARD)) return NO_MEMORY;
  if (size < (size_t)64 << 20) memset(start, POISON, size);
  memset(start + size, POISON, GUARD);
  int i = 0;
  while (i < piece_count && pieces[i].start) ++i;
  if (i == PIECES) return NO_MEMORY;
  if (i == piece_count) ++piece_count;
  pieces[i] = (Piece){start, size, kind, device};
  if (kind == DEVICE) used[device] += size;
  *to = start;
  return OK;
}

static Error release(void* start, int kind) {
  if (!start) return OK;
  Piece* piece = piece_of(start);
  if (!piece || piece->start != start || piece->kind != kind)
    return fault("memory is freed that is none");
  for (int i = 0; i < GUARD; ++i)
    if ((unsigned char)piece->start[piece->size + i] != POISON) {
      fault("a write beyond an array");
      break;
    }
  if (kind == DEVICE) used[piece->device] -= piece->size;
  free(piece->start);
  piece->start = NULL;
  return OK;
}

// running what is queued

static void run(Work* work, Stream* stream) {
  if (work->kind == COPY) memmove(work->to, work->from, work->size);
  if (work->kind == COPY && work->value) free((void*)work->from);  // staged, as CUDA does it
  if (work->kind == FILL) memset(work->to, work->value, work->size);
  if (work->kind == RELEASE) {  // the next array of this stream may lie there now
    memset(work->to, POISON, work->size);
    release(work->to, DEVICE);
  }
  if (work->kind == LAUNCH) {
    note('r', work->kernel->name, stream, work->grid, work->block);
    void* values[VALUES];
    for (size_t i = 0, at = 0; i < work->kernel->count; ++i) {
      values[i] = &work->values[at];
      at += (work->kernel->sizes[i] + 7) / 8;
    }
    const char* said = work->kernel->run(work->kernel->name, work->grid, work->block, work->size,
                                         values, work->kernel->sizes, work->kernel->count, threads);
    if (said) fault(said);
  }
}

static int run_one(Stream* stream) {
  if (stream->done == stream->queued) return 0;
  Work* work = &stream->work[stream->done];
  if (work->kind == WAIT && work->stream->done < work->place) return 0;
  run(work, stream);
  ++stream->done;
  return 1;
}

static Stream* any(int i) {
  return i < stream_count ? streams[stream_count - 1 - i] : &null_streams[i - stream_count];
}

static void run_all(void) {
  for (int ran = 1; ran;) {
    ran = 0;
    for (int i = 0; i < stream_count + DEVICES; ++i) ran |= run_one(any(i));
  }
}

static unsigned random_below(unsigned limit) {
  seed = seed * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)(seed >> 33) % limit;
}

static void reach(Stream* stream, long place) {
  if (order == OTHERS_FIRST)
    for (int i = 0; i < stream_count + DEVICES; ++i)
      while (any(i) != stream && run_one(any(i))) {
      }
  while (stream->done < place) {
    if (order >= RANDOM) {
      run_one(any((int)random_below((unsigned)(stream_count + DEVICES))));
    } else if (!run_one(stream)) {
      Work* work = &stream->work[stream->done];
      reach(work->stream, work->place);
    }
  }
}

static void enqueue(Stream* stream, Work work) {
  if (stream->done == stream->queued) {
    if (order == NOW && work.kind != WAIT) {  // no queue, so that a call costs little
      run(&work, stream);
      return;
    }
  }
  if (stream->queued == stream->room) {
    stream->room = stream->room ? 2 * stream->room : 64;
    stream->work = realloc(stream->work, (size_t)stream->room * sizeof *stream->work);
  }
  stream->work[stream->queued++] = work;
  if (order == NOW) run_all();
  if (order >= RANDOM)
    for (unsigned turns = random_below(4); turns; --turns)
      run_one(any((int)random_below((unsigned)(stream_count + DEVICES))));
}

static Stream* queue_of(Stream* stream) {
  return (uintptr_t)stream <= 2 ? &null_streams[device] : stream;
}

// Of launches and copies; events may be recorded and waited for from any device.
static Stream* stream_of(Stream* stream) {
  if (queue_of(stream)->device != device) fault("a stream of another device than the current one");
  return queue_of(stream);
}

// for Python: what this machine is, and what has happened

#define SHOWN __attribute__((visibility("default")))
#define CALL                        \
  __atomic_add_fetch(&calls, 1, 0); \
  pthread_mutex_lock(&lock)
#define RETURN(value)            \
  do {                           \
    Error found_ = (value);      \
    pthread_mutex_unlock(&lock); \
    return found_;               \
  } while (0)

__attribute__((constructor)) static void begin(void) {
  pthread_mutexattr_t again;
  pthread_mutexattr_init(&again);
  pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&lock, &again);
  for (int i = 0; i < DEVICES; ++i) null_streams[i].device = i;
}

SHOWN void fake_machine(int count, size_t bytes, int order_, int threads_, int shared,
                        uint64_t seed_) {
  run_all();
  devices = count, memory = bytes, order = order_, threads = threads_, shared_limit = shared;
  seed = seed_;
  device = 0;
}
static int is(const Registered* kernel, const char* name, uintptr_t module) {
  return (!kernel->module || kernel->module == module) && !strcmp(kernel->name, name);
}
SHOWN void fake_kernel(const char* name, Kernel run_, const size_t* sizes, size_t count,
                       unsigned most, uintptr_t module) {
  int i = 0;
  while (i < kernel_count && !is(&kernels[i], name, module)) ++i;
  if (i == kernel_count) ++kernel_count;
  size_t words = 0;
  for (size_t at = 0; at < count; ++at) words += (sizes[at] + 7) / 8;
  if (i == KERNELS || words > VALUES || count > VALUES) {
    fault("too many kernels, or too many arguments");
    return;
  }
  size_t shared = kernels[i].shared;
  kernels[i] = (Registered){"", module, run_, {0}, count, most, shared ? shared : 48 << 10};
  strncpy(kernels[i].name, name, 63);
  memcpy(kernels[i].sizes, sizes, count * sizeof *sizes);
}
SHOWN void fake_others(Kernel run_) { others = run_; }
SHOWN void fake_loader(uintptr_t (*loader_)(const char*)) { loader = loader_; }
SHOWN void fake_forget_kernels(void) { kernel_count = 0, others = NULL; }
SHOWN long fake_faults(void) {
  run_all();
  return faults;
}
SHOWN long fake_calls(void) { return calls; }
SHOWN size_t fake_used(int number) { return used[number]; }
SHOWN void fake_log(int on) {
  log_room = on ? 1 << 16 : 0, log_size = 0;
  log_text = realloc(log_text, log_room + 1);
}
SHOWN size_t fake_logged(const char** text) {
  *text = log_text;
  return log_size;
}
// An allocator that hands memory back as CuPy's pool does: to the stream that it was allocated on.
SHOWN void* fake_take(size_t size, int number) {
  int before = device;
  void* found = NULL;
  device = number;
  allocate(&found, size, DEVICE);
  device = before;
  return found;
}
SHOWN void fake_give(void* start, Stream* stream) {
  pthread_mutex_lock(&lock);
  Piece* piece = piece_of(start);
  Stream* queue = (uintptr_t)stream <= 2 ? &null_streams[piece->device] : stream;
  enqueue(queue, (Work){.kind = RELEASE, .to = start, .size = piece->size});
  pthread_mutex_unlock(&lock);
}

// the runtime

SHOWN Error cudaDriverGetVersion(int* found) { return *found = 13000, OK; }
SHOWN Error cudaRuntimeGetVersion(int* found) { return *found = 13000, OK; }
SHOWN Error cudaGetDevice(int* found) { return ++calls, *found = device, OK; }
SHOWN Error cudaSetDevice(int number) { return ++calls, device = number, OK; }
SHOWN Error cudaGetDeviceCount(int* found) { return *found = devices, OK; }
SHOWN Error cudaDeviceGetAttribute(int* found, int attribute, int number) {
  (void)number;
  switch (attribute) {
    case 16:
      return *found = 132, OK;  // processors
    case 97:
      return *found = shared_limit, OK;  // bytes of shared memory a block may ask for
    case 75:
      return *found = 9, OK;  // compute capability
    case 10:
      return *found = 32, OK;  // threads of a warp
    case 1:
      return *found = 1024, OK;
    case 8:
      return *found = 48 << 10, OK;
    default:
      return *found = 0, OK;
  }
}
SHOWN Error cudaGetDeviceProperties(char* found, int number) {
  (void)number;
  memset(found, 0, 700);
  strcpy(found, "No GPU");
  return OK;
}
SHOWN Error cudaGetDeviceProperties_v2(char* found, int number) {
  return cudaGetDeviceProperties(found, number);
}
SHOWN Error cudaDeviceSynchronize(void) {
  CALL;
  for (int i = 0; i < stream_count + DEVICES; ++i)
    if (any(i)->device == device) reach(any(i), any(i)->queued);
  RETURN(OK);
}
SHOWN Error cudaDeviceCanAccessPeer(int* found, int one, int other) {
  return *found = one != other, OK;
}
SHOWN Error cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return (void)peer, (void)flags, OK;
}
SHOWN Error cudaMalloc(void** to, size_t size) {
  CALL;
  RETURN(allocate(to, size, DEVICE));
}
SHOWN Error cudaFree(void* start) {
  CALL;
  run_all();
  RETURN(release(start, DEVICE));
}
SHOWN Error cudaHostAlloc(void** to, size_t size, unsigned flags) {
  (void)flags;
  CALL;
  RETURN(allocate(to, size, PINNED));
}
SHOWN Error cudaMallocHost(void** to, size_t size) { return cudaHostAlloc(to, size, 0); }
SHOWN Error cudaFreeHost(void* start) {
  CALL;
  run_all();
  RETURN(release(start, PINNED));
}
SHOWN Error cudaMemGetInfo(size_t* free_, size_t* total) {
  return ++calls, *free_ = memory - used[device], *total = memory, OK;
}
static Error copy(void* to, const void* from, size_t size, int kind, Stream* stream, int wait) {
  if (!size) return OK;
  Piece *target = piece_of(to), *source = piece_of(from);
  if (kind == 1 && (!target || target->kind != DEVICE)) return fault("a copy to no device");
  if (kind == 2 && (!source || source->kind != DEVICE)) return fault("a copy from no device");
  if (target && (char*)to + size > target->start + target->size)
    return fault("a copy beyond an array");
  if (source && (char*)from + size > source->start + source->size)
    return fault("a copy from beyond an array");
  note('q', "copy", stream, size, (size_t)kind);
  Work work = {.kind = COPY, .to = to, .from = from, .size = size};
  if (kind == 1 && !source) {  // of pageable memory: CUDA has read it when the call returns
    if (order != NOW) {
      work.from = memcpy(malloc(size), from, size);
      work.value = 1;
    }
  }
  enqueue(stream, work);
  if (wait || (kind == 2 && !target)) reach(stream, stream->queued);
  return OK;
}
SHOWN Error cudaMemcpy(void* to, const void* from, size_t size, int kind) {
  CALL;
  RETURN(copy(to, from, size, kind, &null_streams[device], 1));
}
SHOWN Error cudaMemcpyAsync(void* to, const void* from, size_t size, int kind, Stream* stream) {
  CALL;
  RETURN(copy(to, from, size, kind, stream_of(stream), 0));
}
SHOWN Error cudaMemcpyPeerAsync(void* to, int target, const void* from, int source, size_t size,
                                Stream* stream) {
  (void)target, (void)source;
  CALL;
  RETURN(copy(to, from, size, 3, stream_of(stream), 0));
}
SHOWN Error cudaMemsetAsync(void* to, int value, size_t size, Stream* stream) {
  CALL;
  Piece* piece = piece_of(to);
  if (!piece || (char*)to + size > piece->start + piece->size)
    RETURN(fault("a fill beyond an array"));
  enqueue(stream_of(stream), (Work){.kind = FILL, .to = to, .size = size, .value = value});
  RETURN(OK);
}
SHOWN Error cudaMemset(void* to, int value, size_t size) {
  return cudaMemsetAsync(to, value, size, NULL);
}
typedef struct {
  int kind, device;
  void *on_device, *on_host;
  long reserved[8];
} Attributes;
SHOWN Error cudaPointerGetAttributes(Attributes* found, const void* at) {
  CALL;
  Piece* piece = piece_of(at);
  memset(found, 0, 24);
  *found = (Attributes){.device = -2, .on_host = (void*)at};
  if (piece) {
    void* on_host = piece->kind == PINNED ? (void*)at : NULL;
    *found = (Attributes){piece->kind, piece->device, (void*)at, on_host, {0}};
  }
  RETURN(OK);
}
SHOWN Error cudaStreamCreateWithPriority(Stream** made, unsigned flags, int priority) {
  CALL;
  if (stream_count == STREAMS) RETURN(NO_MEMORY);
  *made = calloc(1, sizeof **made);
  (*made)->device = device, (*made)->flags = flags, (*made)->priority = priority;
  streams[stream_count++] = *made;
  RETURN(OK);
}
SHOWN Error cudaStreamCreateWithFlags(Stream** made, unsigned flags) {
  return cudaStreamCreateWithPriority(made, flags, 0);
}
SHOWN Error cudaStreamCreate(Stream** made) { return cudaStreamCreateWithPriority(made, 0, 0); }
SHOWN Error cudaStreamDestroy(Stream* stream) { return (void)stream, OK; }  // its work goes on
SHOWN Error cudaStreamSynchronize(Stream* stream) {
  CALL;
  Stream* own = queue_of(stream);
  reach(own, own->queued);
  RETURN(OK);
}
SHOWN Error cudaStreamQuery(Stream* stream) {
  Stream* own = queue_of(stream);
  return own->done == own->queued ? OK : NOT_READY;
}
SHOWN Error cudaStreamGetFlags(Stream* stream, unsigned* flags) {
  return *flags = (uintptr_t)stream <= 2 ? 0 : stream->flags, OK;
}
SHOWN Error cudaStreamGetPriority(Stream* stream, int* priority) {
  return *priority = (uintptr_t)stream <= 2 ? 0 : stream->priority, OK;
}
SHOWN Error cudaStreamIsCapturing(Stream* stream, int* found) {
  return (void)stream, *found = 0, OK;
}
SHOWN Error cudaStreamWaitEvent(Stream* stream, Event* event, unsigned flags) {
  (void)flags;
  CALL;
  if (event->gone) RETURN(fault("a wait for an event that is gone"));
  if (event->stream && event->stream->done < event->place)
    enqueue(queue_of(stream), (Work){.kind = WAIT, .stream = event->stream, .place = event->place});
  RETURN(OK);
}
SHOWN Error cudaEventCreateWithFlags(Event** made, unsigned flags) {
  ++calls;
  *made = calloc(1, sizeof **made);
  (*made)->device = device, (*made)->flags = flags;
  return OK;
}
SHOWN Error cudaEventCreate(Event** made) { return cudaEventCreateWithFlags(made, 0); }
SHOWN Error cudaEventDestroy(Event* event) { return ++calls, event->gone = 1, OK; }
SHOWN Error cudaEventRecord(Event* event, Stream* stream) {
  CALL;
  Stream* own = queue_of(stream);
  if (event->gone) RETURN(fault("a record of an event that is gone"));
  if (event->device != own->device) RETURN(fault("an event recorded on another device"));
  event->stream = own, event->place = own->queued;
  RETURN(OK);
}
SHOWN Error cudaEventSynchronize(Event* event) {
  CALL;
  if (event->stream) reach(event->stream, event->place);
  RETURN(OK);
}
SHOWN Error cudaEventQuery(Event* event) {
  ++calls;
  return !event->stream || event->stream->done >= event->place ? OK : NOT_READY;
}
SHOWN Error cudaEventElapsedTime(float* found, Event* first, Event* last) {
  if (first->flags & 2 || last->flags & 2) return fault("the time of an event that only orders");
  if (!first->stream || !last->stream) return fault("the time of an event that was not recorded");
  return *found = 1, OK;
}
SHOWN Error cudaEventElapsedTime_v2(float* found, Event* first, Event* last) {
  return cudaEventElapsedTime(found, first, last);
}
SHOWN const char* cudaGetErrorName(Error error) {
  return error == NO_MEMORY ? "cudaErrorMemoryAllocation" : "cudaErrorFake";
}
SHOWN const char* cudaGetErrorString(Error error) { return (void)error, "fake"; }
SHOWN Error cudaGetLastError(void) { return OK; }
SHOWN Error cudaPeekAtLastError(void) { return OK; }
SHOWN Error fake_missing(void) { return fault("a function that the fake runtime lacks"); }

// the driver

SHOWN Error cuInit(unsigned flags) { return (void)flags, OK; }
SHOWN Error cuDriverGetVersion(int* found) { return *found = 13000, OK; }
SHOWN Error cuGetErrorName(int error, const char** name) {
  return (void)error, *name = "CUDA_FAKE", OK;
}
SHOWN Error cuGetErrorString(int error, const char** text) {
  return (void)error, *text = "fake", OK;
}
SHOWN Error cuCtxGetCurrent(void** found) { return *found = (void*)(uintptr_t)(device + 1), OK; }
SHOWN Error cuCtxSetCurrent(void* context) { return device = (int)(uintptr_t)context - 1, OK; }
SHOWN Error cuCtxGetDevice(int* found) { return *found = device, OK; }
SHOWN Error cuModuleLoadData(void** module, void* image) {
  return *module = (void*)((loader ? loader(image) : 0) + 1), OK;
}
SHOWN Error cuModuleLoad(void** module, char* path) { return (void)path, *module = (void*)1, OK; }
SHOWN Error cuModuleUnload(void* module) { return (void)module, OK; }
SHOWN Error cuModuleGetFunction(Registered** found, void* module, char* name) {
  *found = calloc(1, sizeof **found);
  (*found)->module = (uintptr_t)module - 1;
  strncpy((*found)->name, name, 63);
  return OK;
}
SHOWN Error cuFuncGetAttribute(int* found, int attribute, Registered* kernel) {
  int rank = !strncmp(kernel->name, "rank_", 5);
  return *found = attribute == 0 ? 1024 : attribute == 1 ? 640 * rank : 32 * (attribute == 4), OK;
}
SHOWN Error cuFuncSetAttribute(Registered* kernel, int attribute, int value) {
  if (attribute == 8 && value + 640 > shared_limit) return fault("too much shared memory is asked");
  if (attribute == 8) kernel->shared = (size_t)value;
  return OK;
}
SHOWN Error cuLaunchKernel(Registered* kernel, unsigned x, unsigned y, unsigned z, unsigned block,
                           unsigned block_y, unsigned block_z, unsigned shared, Stream* stream,
                           void** values, void** extra) {
  (void)y, (void)z, (void)block_y, (void)block_z, (void)extra;
  CALL;
  Stream* own = stream_of(stream);
  note('q', kernel->name, own, x, block);
  Registered* found = NULL;
  for (int i = 0; i < kernel_count && !found; ++i)
    if (is(&kernels[i], kernel->name, kernel->module)) found = &kernels[i];
  if (!x || !block || block > 1024) RETURN(fault("a launch of no threads, or of too many"));
  if (!found) {
    if (others) others(kernel->name, x, block, shared, values, NULL, 0, 0);
    if (!others && kernel_count) RETURN(fault("a kernel that cannot run here is launched"));
    RETURN(OK);
  }
  if (block > found->threads) RETURN(fault("more threads than the launch bounds allow"));
  size_t most = kernel->shared ? kernel->shared : 48 << 10;
  if (shared > most) RETURN(fault("more shared memory than was asked for"));
  Work work = {.kind = LAUNCH, .kernel = found, .grid = x, .block = block, .size = shared};
  for (size_t i = 0, at = 0; i < found->count; at += (found->sizes[i++] + 7) / 8) {
    memcpy(&work.values[at], values[i], found->sizes[i]);
    Piece* piece = found->sizes[i] >= 8 ? piece_of((void*)work.values[at]) : NULL;
    if (piece && piece->kind == DEVICE && piece->device != device)
      RETURN(fault("a kernel gets an array of another device"));
  }
  enqueue(own, work);
  RETURN(OK);
}
SHOWN Error cuGetExportTable(const void** table, const void* id) {
  return (void)id, *table = NULL, 500;
}
