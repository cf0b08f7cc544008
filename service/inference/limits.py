"""How much the pipeline takes on at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InferenceLimits:
    """Bounds of one model's pipeline.

    `max_image_pixels` is compared with the header, before anything is decoded. A picture of more
    than `tile_size`² pixels is cut into tiles of at most `tile_size` × `tile_size`; None leaves the
    side to the memory that the engine takes. Batches that run beside each other hold no more pixels
    together than one such tile of probabilities, or are one image.
    `max_queue_images` and `max_queue_bytes` bound what is accepted and not yet answered; the bytes
    are those of the upload, the decoded picture and its maps. One picture alone is accepted
    whatever its bytes, so that every picture under `max_image_pixels` can be answered.
    `max_batch_images` None leaves the batch to the engine's `best_batch` and `best_batch_pixels`.
    `max_probability_bytes` bounds the float32 array that `npz` with `probabilities=true` needs. A
    batch that takes more than `max_batch_seconds` keeps other models from the machine no longer;
    its own takes no images while all of its threads hang so.
    """

    max_image_pixels: int = 100_000_000
    tile_size: int | None = None
    max_queue_images: int = 64
    max_queue_bytes: int = 2**30
    max_batch_images: int | None = None
    max_probability_bytes: int = 2**29
    max_batch_seconds: float = 120.0
