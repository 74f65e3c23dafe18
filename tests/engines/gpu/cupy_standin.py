"""A stand-in for the part of CuPy that the GPU engine uses, for machines without a GPU.

Device memory is host memory, and kernels are those of kernels/*.cu, run by cuda_shim.h. What a GPU
may do in any order is done in an order that hurts: work is queued by stream, and what no event and
no synchronisation orders is run as late as possible, as early as possible, or at random.

    poison     fresh memory holds no zeros; memory that is freed is overwritten by the stream it was
               allocated on, as the pool's next array there would, and has to stay so
    guards     bytes beside each array show writes out of bounds
    checks     arguments' sizes, devices, launch limits, pinned memory for asynchronous copies

Long, because what stands in for a GPU is one machine: its memory, streams, events and kernels.
"""

import bisect
import ctypes
import random
import threading
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cpu_kernels
import numpy as np

ORDERS = ("now", "late", "others first", "random 1", "random 2")
"""When queued work runs: at once; when it must; others' work first when any must; at random."""

_GUARD, _POISON = 64, 0xA5
_STATIC_SHARED = 640
_SMALL = 1 << 16


@dataclass
class Marker:
    """A place in a stream's queue: everything before it has to have run."""

    stream: "Queue"
    place: int


@dataclass(eq=False)
class Queue:
    """A stream's work: what is to be done, in order, and how much of it has been."""

    device: int
    priority: int = 0
    work: list[Callable[[], None] | Marker] = field(default_factory=list)
    done: int = 0


class Machine:
    """GPUs without GPUs.

    Args:
        folder: where compiled kernels are kept.
        devices: how many.
        memory: bytes of each.
        order: one of ORDERS.
        shared: bytes of shared memory a block may have.
        processors: of each device.
        threads: the order of a block's threads, of cpu_kernels.ORDERS.
    """

    def __init__(
        self,
        folder: Path,
        devices: int = 1,
        memory: int = 1 << 30,
        order: str = "late",
        shared: int = 232448,
        processors: int = 3,
        threads: str = "forward",
        sanitize: bool = False,
    ) -> None:
        self.folder, self.memory, self.shared = folder, memory, shared
        self.processors, self.threads, self.sanitize = processors, threads, sanitize
        self.order = order
        self.thread = threading.get_ident()
        self.random = random.Random(order)
        self.used, self.cached = [0] * devices, [0] * devices
        self.queues = [Queue(device) for device in range(devices)]  # the null streams come first
        self.current_device = 0
        self.current_streams: list[list[Any]] = [[None] for _ in range(devices)]  # None: the null
        self.pinned: list[tuple[int, Any, Any]] = []  # by address: its bytes, and their end
        self.arrays: list[Any] = []
        self.launches: list[tuple[str, int, int]] = []
        self.ran: list[tuple[str, int, int]] = []  # launches, in the order in which they happened
        self.streamed: list[tuple[str, int]] = []  # copies but to the host, and kernels, by stream
        self.pooled = True  # memory comes from the pool
        self.copied = 0  # bytes from the host
        self.whole = True  # so far, no guard of an array has been written
        self.freed: list[Any] = []  # the bytes of small arrays that have been

    def note(self, what: str) -> None:
        """Remember what is enqueued on the current stream."""
        self.streamed.append((what, self.queues.index(self.queue_of())))

    # running what is queued

    def enqueue(self, queue: Queue, work: Callable[[], None] | Marker) -> None:
        queue.work.append(work)
        if self.order == "now":
            self.run_all()
        elif self.order.startswith("random"):
            for _ in range(self.random.randrange(4)):
                self.run_one(self.random.choice(self.queues))

    def run_one(self, queue: Queue) -> bool:
        """Run the next work of a stream, unless it has to wait."""
        if queue.done == len(queue.work):
            return False
        work = queue.work[queue.done]
        if isinstance(work, Marker):
            if work.stream.done < work.place:
                return False
        else:
            work()
            queue.work[queue.done] = _nothing  # lets go of what it held
        queue.done += 1
        return True

    def run_all(self) -> None:
        while any([self.run_one(queue) for queue in reversed(self.queues)]):
            pass

    def reach(self, marker: Marker) -> None:
        """Return when a place in a queue is reached, as a synchronisation does."""
        if self.order == "others first":
            for queue in reversed(self.queues):
                while queue is not marker.stream and self.run_one(queue):
                    pass
        while marker.stream.done < marker.place:
            if self.order.startswith("random"):
                self.run_one(self.random.choice(self.queues))
            elif not self.run_one(marker.stream):
                awaited = marker.stream.work[marker.stream.done]
                assert isinstance(awaited, Marker)
                self.reach(awaited)

    def check(self) -> None:
        """Run what is left, and look at the guards of every array that is alive."""
        self.run_all()
        alive = [memory for reference in self.arrays if (memory := reference())]
        assert self.whole, "a kernel wrote beside an array that has been freed"
        assert all(memory.is_whole() for memory in alive), "a kernel wrote beside an array"
        assert all((held == _POISON).all() for held in self.freed), "a kernel wrote what was freed"
        for _, block, freed in self.pinned:
            assert freed.alive or (block == _POISON).all(), "a copy wrote pinned memory after all"

    # memory

    def device_of(self, pointer: int) -> int:
        """Return which device memory is on; -1 where it is on none."""
        for memory in filter(None, (reference() for reference in self.arrays)):
            start = memory.bytes.ctypes.data
            if start <= pointer < start + memory.bytes.nbytes:
                return int(memory.device)
        return -1

    def is_pinned(self, pointer: int, size: int = 1) -> bool:
        place = bisect.bisect(self.pinned, pointer, key=lambda held: held[0])
        if not place:
            return False
        start, block, _ = self.pinned[place - 1]
        return bool(pointer + size <= start + block.nbytes)

    def queue_of(self, stream: Any = None) -> Queue:
        """Return the queue of a stream; the null stream's is that of the current device."""
        assert threading.get_ident() == self.thread, "the current stream is the caller's thread's"
        stream = self.current_streams[self.current_device][-1] if stream is None else stream
        return stream.queue if stream is not None else self.queues[self.current_device]


def _nothing() -> None:
    pass


class Memory:
    """An allocation, between guards; freed when nothing refers to it any more."""

    def __init__(self, machine: Machine, size: int) -> None:
        self.machine, self.device, self.size = machine, machine.current_device, size
        self.queue = machine.queue_of()
        self.bytes = np.full(size + 2 * _GUARD, _POISON, np.uint8)
        machine.used[self.device] += size
        machine.arrays.append(weakref.ref(self))

    def is_whole(self) -> bool:
        return _is_whole(self.bytes)

    def __del__(self) -> None:
        machine, held = self.machine, self.bytes
        machine.used[self.device] -= self.size

        def overwrite() -> None:
            machine.whole &= _is_whole(held)
            held.fill(_POISON)
            if held.nbytes < _SMALL:
                machine.freed.append(held)

        machine.enqueue(self.queue, overwrite)


def _is_whole(held: Any) -> bool:
    """Say whether the guards around an array are as they were."""
    return bool((held[:_GUARD] == _POISON).all() and (held[-_GUARD:] == _POISON).all())


class Pointer:
    """CuPy's MemoryPointer."""

    def __init__(self, memory: Memory, values: Any) -> None:
        self.memory, self.values, self.ptr = memory, values, values.ctypes.data
        self._machine = memory.machine

    def copy_from_host_async(self, source: int, size: int) -> None:
        machine, target = self._machine, self.values
        assert machine.is_pinned(source, size), "an asynchronous copy of pageable memory"
        assert size <= target.nbytes
        machine.copied += size

        def copy() -> None:
            ctypes.memmove(target.ctypes.data, source, size)

        machine.note("copy")
        machine.enqueue(machine.queue_of(), copy)

    def copy_from_device_async(self, source: "Pointer", size: int) -> None:
        target, values = self.values, source.values
        assert size == target.nbytes == values.nbytes

        def copy() -> None:
            ctypes.memmove(target.ctypes.data, values.ctypes.data, size)

        self._machine.note("copy on the device")
        self._machine.enqueue(self._machine.queue_of(), copy)

    def memset_async(self, value: int, size: int) -> None:
        target = self.values
        assert size == target.nbytes
        self._machine.note("memset")

        def fill() -> None:
            ctypes.memset(target.ctypes.data, value, size)

        self._machine.enqueue(self._machine.queue_of(), fill)


def make_cupy(machine: Machine) -> types.ModuleType:
    """Return a module to put in place of `cupy`."""

    class Device:
        compute_capability = "90"

        def __init__(self, number: int) -> None:
            self.id = number

        @property
        def mem_info(self) -> tuple[int, int]:
            return machine.memory - machine.used[self.id], machine.memory

        def synchronize(self) -> None:
            for queue in machine.queues:
                if queue.device == self.id:
                    machine.reach(Marker(queue, len(queue.work)))

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Device) and other.id == self.id

        __hash__ = None  # as CuPy's

        def __enter__(self) -> None:
            self._before = [*getattr(self, "_before", []), machine.current_device]
            machine.current_device = self.id

        def __exit__(self, *error: object) -> None:
            machine.current_device = self._before.pop()

    class Event:
        def __init__(self, disable_timing: bool = False) -> None:
            self.times = not disable_timing
            self.marker: Marker | None = None
            self.device = machine.current_device

        def record(self, stream: Any = None) -> None:
            queue = machine.queue_of(stream)
            assert queue.device == self.device, "an event recorded on another device"
            self.marker = Marker(queue, len(queue.work))

        def synchronize(self) -> None:
            if self.marker:
                machine.reach(self.marker)

        @property
        def done(self) -> bool:
            return self.marker is None or self.marker.stream.done >= self.marker.place

    class Stream:
        def __init__(self, non_blocking: bool = False, priority: int | None = None) -> None:
            assert non_blocking, "a stream that the null stream waits for hides missing events"
            self.queue_ = Queue(machine.current_device, priority or 0)
            machine.queues.append(self.queue_)

        @property
        def queue(self) -> Queue:
            return self.queue_

        def record(self, event: Event | None = None) -> Event:
            event = event or Event()
            event.marker = Marker(self.queue, len(self.queue.work))
            assert event.device == self.queue.device, "an event recorded on another device"
            return event

        def wait_event(self, event: Event) -> None:
            if event.marker:
                machine.enqueue(self.queue, event.marker)

        def synchronize(self) -> None:
            machine.reach(Marker(self.queue, len(self.queue.work)))

        def __enter__(self) -> "Stream":
            assert self.queue.device == machine.current_device, "a stream of another device"
            machine.current_streams[machine.current_device].append(self)
            return self

        def __exit__(self, *error: object) -> None:
            machine.current_streams[self.queue.device].pop()

    class NullStream(Stream):
        def __init__(self) -> None:
            pass

        @property
        def queue(self) -> Queue:
            return machine.queues[machine.current_device]

    class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # CuPy's name
        def __init__(self, memory: Memory, values: Any) -> None:
            self._values = values
            self.data = Pointer(memory, values)
            self.device = Device(memory.device)
            self.shape, self.dtype, self.flags = values.shape, values.dtype, values.flags
            self.size, self.nbytes, self.itemsize = values.size, values.nbytes, values.itemsize

        @property
        def ndim(self) -> int:
            return self._values.ndim

        @property
        def strides(self) -> tuple[int, ...]:
            return self._values.strides

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            place = (self.data.ptr, False)
            return {"shape": self.shape, "typestr": self.dtype.str, "data": place, "version": 3}

        def __array__(self, *arguments: Any, **options: Any) -> Any:
            raise TypeError("Implicit conversion to a NumPy array is not allowed.")

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
            """Do arithmetic of the caller's in its turn; CuPy, too, takes no host arrays for it."""
            known = all(isinstance(one, ndarray | float | int) for one in inputs)
            if method != "__call__" or options or not known or ufunc is np.matmul:  # needs cuBLAS
                return NotImplemented
            given = [one._values if isinstance(one, ndarray) else one for one in inputs]
            with np.errstate(all="ignore"):  # for its shape: nothing may have been computed yet
                like = ufunc(*given)
            return self._made(lambda values: ufunc(*given), like)

        def sum(self, axis: int) -> "ndarray":
            return self._made(lambda values: values.sum(axis), self._values.sum(axis))

        def __len__(self) -> int:
            return len(self._values)

        def __getitem__(self, places: Any) -> "ndarray":
            found = self._values[places]
            if np.shares_memory(found, self._values):
                return ndarray(self.data.memory, found)
            return self._made(lambda values: values[places], found)

        def min(self, axis: int) -> "ndarray":
            return self._made(lambda values: values.min(axis), self._values.min(axis))

        def max(self, axis: int) -> "ndarray":
            return self._made(lambda values: values.max(axis), self._values.max(axis))

        def take(self, places: Any, axis: int) -> "ndarray":
            like = self._values.take(places, axis)
            return self._made(lambda values: values.take(places, axis), like)

        def _made(self, function: Callable[[Any], Any], like: Any) -> "ndarray":
            """Return a new array of this shape, filled in its turn on the current stream."""
            made, values = empty(like.shape, like.dtype), self._values

            def fill() -> None:
                made._values[...] = function(values)

            machine.enqueue(machine.queue_of(), fill)
            return made

        @property
        def T(self) -> "ndarray":
            return ndarray(self.data.memory, self._values.T)

        def get(self, out: Any = None, blocking: bool = True) -> Any:
            assert self.device.id == machine.current_device, "a copy from another device"
            pinned = out is not None and machine.is_pinned(out.ctypes.data, out.nbytes)
            assert blocking or pinned or not self.size, "an asynchronous copy to pageable memory"
            target = np.empty(self.shape, self.dtype) if out is None else out
            assert target.shape == self.shape
            assert target.dtype == self.dtype
            values, queue = self._values, machine.queue_of()
            if blocking:

                def copy() -> None:
                    target[...] = values

                machine.enqueue(queue, copy)
                machine.reach(Marker(queue, len(queue.work)))
                return target
            assert target.flags.c_contiguous
            place = target.ctypes.data  # nobody is kept from freeing it

            def move() -> None:
                held = np.ascontiguousarray(values)
                ctypes.memmove(place, held.ctypes.data, held.nbytes)

            machine.enqueue(queue, move)
            return target

    class RawKernel:
        def __init__(self, code: str, name: str, options: tuple[str, ...]) -> None:
            assert options == ("--std=c++17",)
            self.name = name
            self.most_threads = cpu_kernels.kernel_names(code)[name]
            self.library = cpu_kernels.build(code, machine.folder, machine.sanitize)
            self.shared_size_bytes = _STATIC_SHARED
            self._most_shared = 48 << 10
            self.num_regs, self.local_size_bytes = 32, 0

        @property
        def max_dynamic_shared_size_bytes(self) -> int:
            return self._most_shared

        @max_dynamic_shared_size_bytes.setter
        def max_dynamic_shared_size_bytes(self, size: int) -> None:
            assert size + _STATIC_SHARED <= machine.shared, "more shared memory than there is"
            self._most_shared = size

        def compile(self) -> None:
            pass

        def __call__(
            self, grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], shared_mem: int
        ) -> None:
            assert 0 < block[0] <= self.most_threads, "more threads than the launch bounds allow"
            assert 0 < grid[0] < 2**31, "a grid of no or too many blocks"
            assert shared_mem <= self._most_shared, "more shared memory than was asked for"
            for one in arguments:
                if isinstance(one, ndarray):
                    assert one.flags.c_contiguous, "a kernel got a strided array"
                    assert one.device.id == machine.current_device, "an array of another device"
            launched = (self.name, grid[0], block[0])
            machine.launches.append(launched)
            machine.note(self.name)
            given = tuple(
                one._values if isinstance(one, ndarray) else one for one in arguments
            )  # not the arrays themselves: memory is freed when the engine lets go of it

            def run() -> None:
                machine.ran.append(launched)
                cpu_kernels.launch(
                    self.library,
                    self.name,
                    grid[0],
                    block[0],
                    given,
                    shared=shared_mem,
                    order=cpu_kernels.ORDERS[machine.threads],
                )

            machine.enqueue(machine.queue_of(), run)

    class CUDARuntimeError(RuntimeError):
        status = 0

    def empty(shape: Any, dtype: Any) -> ndarray:
        shape = (shape,) if isinstance(shape, int) else shape
        kind = np.dtype(dtype)
        if not kind.isnative:
            raise ValueError(f"Unsupported dtype {kind} with big-endian byte-order")
        size = int(np.prod(shape)) * kind.itemsize
        taken = machine.used[machine.current_device] + machine.cached[machine.current_device]
        if taken + size > machine.memory:
            raise MemoryError(f"the stand-in's device has no {size} bytes left")
        memory = Memory(machine, size)
        held = memory.bytes[_GUARD : _GUARD + memory.size]
        return ndarray(memory, held.view(kind).reshape(shape))

    def ascontiguousarray(array: ndarray) -> ndarray:
        copied = empty(array.shape, array.dtype)
        target, values = copied._values, array._values

        def copy() -> None:
            target[...] = values

        machine.enqueue(machine.queue_of(), copy)
        return copied

    def asarray(array: Any) -> ndarray:
        """Return an array of this kind; of others only those that carry one."""
        held: ndarray = array if isinstance(array, ndarray) else array.held
        assert held.device.id == machine.current_device, "a copy to the current device"
        return held

    def from_dlpack(array: Any) -> ndarray:
        held: ndarray = array.held
        return held

    def argsort(array: ndarray, axis: int) -> ndarray:
        return array  # timed only

    def alloc_pinned_memory(size: int) -> Any:
        block = np.full(size, _POISON, np.uint8)
        handle = (ctypes.c_uint8 * size).from_buffer(block)
        # freed, it is the next one's at once, whatever is under way on a stream
        freed = weakref.finalize(handle, block.fill, _POISON)
        freed.atexit = False
        bisect.insort(machine.pinned, (block.ctypes.data, block, freed), key=lambda one: one[0])
        return handle

    def get_elapsed_time(start: Event, end: Event) -> float:
        for event in (start, end):
            assert event.times, "the time of an event that only orders"
            assert event.marker, "the time of an event that was not recorded"
        return 1.0  # in milliseconds

    def set_allocator(allocator: None) -> None:
        machine.pooled = False

    def pointer_attributes(pointer: int) -> Any:
        return types.SimpleNamespace(
            type=int(machine.is_pinned(pointer)), device=machine.device_of(pointer)
        )

    null, attributes = NullStream(), {16: machine.processors, 97: machine.shared}
    cupy = types.ModuleType("cupy")
    cupy.__version__, cupy.argsort = "14.2.0", argsort
    cupy.ndarray, cupy.RawKernel = ndarray, RawKernel
    cupy.empty, cupy.ascontiguousarray = empty, ascontiguousarray
    cupy.asarray, cupy.from_dlpack = asarray, from_dlpack
    cupy.get_default_memory_pool = lambda: types.SimpleNamespace(
        get_limit=lambda: 0,
        used_bytes=lambda: machine.used[machine.current_device],
        total_bytes=lambda: machine.used[machine.current_device],
        free_all_blocks=lambda: machine.cached.__setitem__(machine.current_device, 0),
    )
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        Stream=Stream,
        alloc_pinned_memory=alloc_pinned_memory,
        get_elapsed_time=get_elapsed_time,
        set_allocator=set_allocator,
        get_current_stream=lambda number: machine.current_streams[number][-1] or null,
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 13000,
            getDeviceCount=lambda: len(machine.used),
            getDeviceProperties=lambda number: {"name": b"Stand-in"},
            cudaDevAttrMultiProcessorCount=16,
            cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
            deviceGetAttribute=lambda attribute, number: attributes[attribute],
            memGetInfo=lambda: Device(machine.current_device).mem_info,
            memoryTypeHost=1,
            pointerGetAttributes=pointer_attributes,
        ),
    )
    return cupy
