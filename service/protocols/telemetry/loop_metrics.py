"""What is counted of pictures that are kept, that come back, and that a shadow sees."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.capture.writer import CaptureDrop
from service.domain.comparison import Agreement
from service.shadow.shadow import ShadowDrop

CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 1.0)


class LoopMetrics:
    """Listens to the capture as its CaptureObserver, to a shadow as its ShadowObserver."""

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

        self._shadow_pixels = Counter(
            "segserve_shadow_pixels",
            "Pixels that the shadow saw too, by whether it said the same of them.",
            ["model", "shadow", "equal"],
            registry=collectors,
        )
        self._shadow_images = Counter(
            "segserve_shadow_images",
            "Pictures that the shadow saw too.",
            ["model", "shadow"],
            registry=collectors,
        )
        self._shadow_dropped = Counter(
            "segserve_shadow_dropped_images",
            "Pictures of the shadow's share that it did not see: busy (others waited), failed.",
            ["reason"],
            registry=collectors,
        )
        self._shadow_miou = Gauge(
            "segserve_shadow_mean_iou",
            "Mean IoU of the shadow's pixels with the first version's, since the start.",
            ["model", "shadow"],
            registry=collectors,
        )
        self._shadow_confidence = Histogram(
            "segserve_shadow_confidence",
            "The shadow's mean confidence of each picture.",
            ["shadow"],
            buckets=CONFIDENCES,
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

    def shadowed(
        self, model_id: str, shadow_id: str, agreement: Agreement, confidence: float
    ) -> None:
        equal = round(agreement.equal_share * agreement.pixels)
        self._shadow_images.labels(model_id, shadow_id).inc()
        self._shadow_pixels.labels(model_id, shadow_id, "true").inc(equal)
        self._shadow_pixels.labels(model_id, shadow_id, "false").inc(agreement.pixels - equal)
        self._shadow_confidence.labels(shadow_id).observe(confidence)

    def shadow_agreement(self, model_id: str, shadow_id: str, agreement: Agreement) -> None:
        self._shadow_miou.labels(model_id, shadow_id).set(agreement.mean_iou)

    def shadow_dropped(self, reason: ShadowDrop) -> None:
        self._shadow_dropped.labels(reason).inc()
