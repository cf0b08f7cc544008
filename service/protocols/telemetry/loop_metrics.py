"""What is counted of pictures that are kept and come back."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.capture.writer import CaptureDrop


class LoopMetrics:
    """Listens to the capture as its CaptureObserver."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        self._captured = Counter(
            "segserve_captured_images",
            "Pictures kept in SEGSERVE_CAPTURE_FOLDER, by the policy that chose them.",
            ["model", "policy"],
            registry=collectors,
        )
        self._dropped = Counter(
            "segserve_capture_dropped_images",
            "Pictures that a policy chose and that were not kept: rate (one was kept just before), "
            "queue (too many wait to be written), disk.",
            ["reason"],
            registry=collectors,
        )
        self._bytes = Gauge(
            "segserve_capture_bytes",
            "Bytes of the pictures that are kept; those that came back are not counted.",
            registry=collectors,
        )
        self._feedback = Counter(
            "segserve_feedback_images",
            "Pictures that came back with a corrected mask.",
            ["model"],
            registry=collectors,
        )

    def captured(self, model_id: str, policy: str) -> None:
        self._captured.labels(model_id, policy).inc()

    def capture_dropped(self, reason: CaptureDrop) -> None:
        self._dropped.labels(reason).inc()

    def capture_bytes(self, size: int) -> None:
        self._bytes.set(size)

    def feedback(self, model: str) -> None:
        self._feedback.labels(model).inc()
