"""Compiled OpenVINO models: one for pictures of any shape, and one for each shape that comes often.

Measured on 2 cores with a U-Net on MobileNetV2 (int8, pictures of 480 × 384): compiled for its one
shape a model takes 0.92 of the CPU time, since OpenVINO then knows which Transpose it may leave
out, and infers no shapes. Each takes half a second and 20 MB. So it is made beside the work, once a
shape makes up a good part of what comes, and only for a few shapes; another takes the place of one
that is long gone.

Where a stream has one thread, that is the thread that calls: OpenVINO's own streams hand a picture
to one of their threads, and its end to another one for callbacks. The caller is then often woken on
the core where the other stream computes, and its own core idles until the kernel balances them, up
to several milliseconds later; and the result lies in another core's cache. A compiled model without
streams computes on the thread that calls, one picture at a time, so there is one for each stream.
"""

import logging
import math
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]

_DEVICE: Final = "CPU"
_MOST_SHAPES = 2  # lying and upright pictures of one camera
_MOST_PIXELS = 1024 * 1024  # of a batch: its working memory is kept
_WINDOW_RUNS = 256
_HOT_RUNS = 64  # of those in the window
_MOST_COPIED_BYTES = 2**25  # of weights, which models without streams do not share

# One at a time, whatever many models ask for: what serves has the other cores.
background = ThreadPoolExecutor(1, thread_name_prefix="openvino-compile")


class HotShapes:
    """Counts which shapes come. With each window half of a count is forgotten."""

    def __init__(self) -> None:
        self._runs: Counter[Shape] = Counter()
        self._in_window = 0

    def count(self, shape: Shape) -> int:
        """One more of it; how many that makes."""
        self._runs[shape] += 1
        self._in_window += 1
        found = self._runs[shape]
        if self._in_window >= _WINDOW_RUNS:
            self._in_window = 0
            self._runs = Counter({one: runs // 2 for one, runs in self._runs.items() if runs > 1})
        return found

    def runs(self, shape: Shape) -> int:
        return self._runs[shape]


class _Requests:
    """As many requests as there are streams, of one compiled model or of one each. Who comes when
    all run waits.
    """

    def __init__(self, compiled: Sequence[openvino.CompiledModel], streams: int) -> None:
        self._compiled = compiled
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for number in range(streams):
            self._idle.put(compiled[number % len(compiled)].create_infer_request())

    def run(self, result: NDArray[Any], *inputs: NDArray[Any]) -> None:
        """As `Compiled.run`, of inputs that lie in one piece each."""
        request = self._idle.get()
        try:
            for place, each in enumerate(inputs):
                # what came from another process is read-only, and OpenVINO shares no such memory
                tensor = openvino.Tensor(each, shared_memory=each.flags.writeable)
                request.set_input_tensor(place, tensor)
            request.set_output_tensor(openvino.Tensor(result, shared_memory=True))
            request.start_async()
            request.wait()
        finally:
            self._idle.put(request)

    def release_memory(self) -> None:
        for compiled in self._compiled:
            compiled.release_memory()


class Compiled:
    """A model of one output. It runs `streams` batches beside each other, by the threads that
    `settings` share among them: by those that call where these are one each. Images of a batch run
    `one_by_one` where it takes one alone.

    `running` batches and the largest of them, in pixels, are counted by the engine. Shapes are
    counted once it `may_specialize`, which the runs that measure an engine do before.
    """

    def __init__(
        self,
        core: openvino.Core,
        model: openvino.Model,
        settings: dict[str, Any],
        *,
        streams: int = 1,
        one_by_one: bool = False,
    ) -> None:
        self._core, self._model, self._settings = core, model, settings
        self._streams, self._one_by_one = streams, one_by_one
        self._of_any_shape = self._compile(model)
        self.running = 0
        self.most_pixels = 0
        self.may_specialize = False
        self._is_worth_it = model.is_dynamic() and len(model.inputs) == 1 and not one_by_one
        self._lock = threading.Lock()
        self._hot = HotShapes()
        self._of_shape: dict[Shape, _Requests] = {}
        self._waiting: Future[None] | None = None

    @property
    def shapes(self) -> list[Shape]:
        """Those that have a model of their own."""
        with self._lock:
            return list(self._of_shape)

    def run(self, result: NDArray[Any], *inputs: NDArray[Any]) -> None:
        """Run images (N, H, W, C), and maps (N, h, w, channels) where it takes any, into `result`,
        without a copy of what lies in one piece.
        """
        if self._one_by_one and len(result) > 1:
            for index in range(len(result)):
                one = slice(index, index + 1)
                self.run(result[one], *(each[one] for each in inputs))
            return
        given = list(map(np.ascontiguousarray, inputs))  # their memory must outlast the request
        self._requests(given[0]).run(result, *given)

    def release_memory(self) -> None:
        for requests in (self._of_any_shape, *self._of_shape.values()):
            requests.release_memory()
        self.most_pixels = 0

    def close(self) -> None:
        """Let a model that is being compiled be the last."""
        self.may_specialize = False
        if self._waiting is not None:
            self._waiting.cancel()

    def _compile(self, model: openvino.Model) -> _Requests:
        settings, copies = self._settings, self._streams - 1
        by_callers = settings.get("INFERENCE_NUM_THREADS") == self._streams
        if not by_callers or copies * _weight_bytes(model) > _MOST_COPIED_BYTES:
            compiled = self._core.compile_model(model, _DEVICE, settings)
            return _Requests([compiled], self._streams)
        settings = {**settings, "NUM_STREAMS": 0, "INFERENCE_NUM_THREADS": 1}
        every = [self._core.compile_model(model, _DEVICE, settings)]
        if copies:  # what is compiled is read back in a fifth of the time
            stored = every[0].export_model().getvalue()
            every += (self._core.import_model(stored, _DEVICE, settings) for _ in range(copies))
        return _Requests(every, self._streams)

    def _requests(self, images: NDArray[np.uint8]) -> _Requests:
        shape = images.shape
        if not self.may_specialize or not self._is_worth_it:
            return self._of_any_shape
        with self._lock:
            runs = self._hot.count(shape)
            found = self._of_shape.get(shape)
            if found is None and self._waiting is None and self._pays(shape, runs):
                self._waiting = background.submit(self._specialize, images.copy())
        return self._of_any_shape if found is None else found

    def _pays(self, shape: Shape, runs: int) -> bool:
        if runs < _HOT_RUNS or math.prod(shape[:3]) > _MOST_PIXELS:
            return False
        return len(self._of_shape) < _MOST_SHAPES or not self._hot.runs(self._coldest())

    def _coldest(self) -> Shape:
        return min(self._of_shape, key=self._hot.runs)

    def _specialize(self, images: NDArray[np.uint8]) -> None:
        """Compile for the images' shape. It is taken where these have the same result as before, to
        the last bit: no answer may depend on what came earlier.
        """
        try:
            model = self._model.clone()
            model.reshape(list(images.shape))
            requests = self._compile(model)
            output = model.output(0)
            results = [np.empty(list(output.shape), output.element_type.to_dtype()) for _ in "ab"]
            for one, result in zip((requests, self._of_any_shape), results, strict=True):
                one.run(result, images)
            is_same = bool((results[0] == results[1]).all())
        except Exception:
            logger.exception("a model was not compiled for %s alone", images.shape)
            is_same = False
        with self._lock:
            self._is_worth_it = is_same
            if is_same and self.may_specialize:
                if len(self._of_shape) >= _MOST_SHAPES:
                    del self._of_shape[self._coldest()]
                self._of_shape[images.shape] = requests
            self._waiting = None


def _weight_bytes(model: openvino.Model) -> int:
    constants = (node.output(0) for node in model.get_ops() if node.get_type_name() == "Constant")
    return sum(math.prod(one.shape) * one.element_type.bitwidth // 8 for one in constants)
