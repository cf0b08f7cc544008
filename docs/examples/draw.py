"""Draw the three street scenes that the page at / offers as examples.

    python docs/examples/draw.py service/web/examples

A scene stands on a flat ground, in metres: x to the right, y up, z ahead of a camera 1.4 m above
the road. It is painted from the far end to the near one, at three times its size, then brought
down, blurred and grained as a camera would.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 512, 384
OVERSAMPLING = 3
EYE_METRES = 1.4
NEAREST_METRES = 1.6

Color = tuple[int, int, int]
Point = tuple[float, float, float]
Painting = tuple[float, Callable[[], None]]  # the distance it is painted at, and how


@dataclass(frozen=True)
class Light:
    """The weather: colours of the sky from the top to the horizon, the tint of haze, brightness of
    all else."""

    sky_top: Color
    sky_low: Color
    brightness: float
    sunny_side: int  # -1 left, 1 right, 0 for an overcast day


class Scene:
    """A canvas with a camera. Things are added in any order; `render` paints the farthest first."""

    def __init__(self, seed: int, light: Light, horizon: float = 0.47) -> None:
        self.random = np.random.default_rng(seed)
        self.light = light
        self.width, self.height = WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING
        self.focal = 0.95 * self.width
        self.horizon = horizon * self.height
        self.image = Image.new("RGB", (self.width, self.height))
        self.draw = ImageDraw.Draw(self.image)
        self.paintings: list[Painting] = []

    def project(self, point: Point) -> tuple[float, float]:
        x, y, z = point
        near = max(z, NEAREST_METRES)
        return (
            self.width / 2 + self.focal * x / near,
            self.horizon + self.focal * (EYE_METRES - y) / near,
        )

    def scale(self, z: float) -> float:
        """Pixels a metre at a distance."""
        return self.focal / max(z, NEAREST_METRES)

    def tone(self, color: Color, z: float, shade: float = 1.0) -> Color:
        """A colour in this light, with haze over the distance."""
        haze = 1 - np.exp(-max(z, 0.0) / 160)
        lit = np.array(color) * shade * self.light.brightness
        mixed = lit * (1 - haze) + np.array(self.light.sky_low) * haze
        red, green, blue = np.clip(mixed, 0, 255).astype(int).tolist()
        return red, green, blue

    def polygon(self, points: Sequence[Point], color: Color, shade: float = 1.0) -> None:
        distance = float(np.mean([z for _, _, z in points]))
        self.draw.polygon([self.project(p) for p in points], self.tone(color, distance, shade))

    def add(self, distance: float, paint: Callable[[], None]) -> None:
        self.paintings.append((distance, paint))

    def render(self) -> Image.Image:
        self._paint_sky()
        for _, paint in sorted(self.paintings, key=lambda painting: -painting[0]):
            paint()
        small = self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        pixels = np.asarray(small.filter(ImageFilter.GaussianBlur(0.55)), np.float32)
        grain = self.random.normal(0, 2.4, (HEIGHT, WIDTH, 1)) + self.random.normal(
            0, 1.2, (HEIGHT, WIDTH, 3)
        )
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        vignette = (1 - 0.07 * (x**2 + y**2))[..., np.newaxis]
        return Image.fromarray(np.clip(pixels * vignette + grain, 0, 255).astype(np.uint8))

    def _paint_sky(self) -> None:
        top, low = np.array(self.light.sky_top), np.array(self.light.sky_low)
        steps = np.linspace(0, 1, self.height)[:, np.newaxis]
        rows = top * (1 - np.minimum(1, steps * 1.9)) + low * np.minimum(1, steps * 1.9)
        sky = np.repeat(rows[:, np.newaxis, :], self.width, axis=1)
        coarse = self.random.normal(0, 1, (14, 10))
        cloud = np.asarray(
            Image.fromarray(coarse.astype(np.float32)).resize(
                (self.width, self.height), Image.Resampling.BICUBIC
            )
        )
        sky += np.clip(cloud, 0, 2)[..., np.newaxis] * 7
        self.image.paste(Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8)))

    # The ground

    def ground(
        self, left: float, right: float, color: Color, *, height: float = 0.0, patches: int = 900
    ) -> None:
        """A strip along the road, with the unevenness that asphalt and slabs have."""

        def paint() -> None:
            for z in np.geomspace(400, NEAREST_METRES, 60):
                near = z * 0.9
                strip = [
                    (left, height, z),
                    (right, height, z),
                    (right, height, near),
                    (left, height, near),
                ]
                self.polygon(strip, color, self.random.uniform(0.985, 1.015))
            for _ in range(patches):
                z = float(np.exp(self.random.uniform(np.log(2), np.log(50))))
                x = self.random.uniform(left, right)
                wide = min(self.random.uniform(0.05, 0.7), right - x)
                long = self.random.uniform(0.05, 0.5)
                patch = [
                    (x, height, z),
                    (x + wide, height, z),
                    (x + wide, height, z + long),
                    (x, height, z + long),
                ]
                self.polygon(patch, color, self.random.uniform(0.95, 1.05))

        self.add(1000, paint)

    def slabs(
        self, left: float, right: float, color: Color, *, height: float, length: float
    ) -> None:
        """The joints of a pavement."""

        def paint() -> None:
            for z in np.arange(2, 60, length):
                joint = [
                    (left, height, z),
                    (right, height, z),
                    (right, height, z + 0.03),
                    (left, height, z + 0.03),
                ]
                self.polygon(joint, color, 0.85)

        self.add(998, paint)

    def kerb(self, x: float, color: Color, height: float = 0.13) -> None:
        def paint() -> None:
            face = [
                (x, 0, 400),
                (x, height, 400),
                (x, height, NEAREST_METRES),
                (x, 0, NEAREST_METRES),
            ]
            self.polygon(face, color, 0.78)

        self.add(997, paint)

    def marking(self, x: float, wide: float, dashes: Sequence[tuple[float, float]]) -> None:
        def paint() -> None:
            for start, end in dashes:
                line = [(x, 0, start), (x + wide, 0, start), (x + wide, 0, end), (x, 0, end)]
                self.polygon(line, (222, 220, 210), self.random.uniform(0.92, 1.0))

        self.add(996, paint)

    def shadow(self, x: float, z: float, wide: float, long: float, strength: float = 0.5) -> None:
        def paint() -> None:
            corners = [(x - wide / 2, 0.0, z), (x + wide / 2, 0.0, z)]
            (left, top), (right, _) = (self.project((px, py, pz + long)) for px, py, pz in corners)
            bottom = self.project(corners[0])[1]
            layer = Image.new("L", self.image.size)
            ImageDraw.Draw(layer).ellipse((left, top, right, bottom + 2), fill=int(255 * strength))
            layer = layer.filter(ImageFilter.GaussianBlur(2 * OVERSAMPLING))
            self.image.paste((38, 38, 42), mask=layer)

        self.add(990 - z, paint)

    # What stands on it

    def house(
        self, side: int, x: float, z: float, length: float, height: float, wall: Color
    ) -> None:
        """A house along the street: a front with windows, and the gable that faces the camera."""
        lit = 1.0 if self.light.sunny_side == -side else 0.8 if self.light.sunny_side else 0.92

        def paint() -> None:
            front = [(x, 0, z), (x, height, z), (x, height, z + length), (x, 0, z + length)]
            gable = [(x, 0, z), (x, height, z), (x + side * 9, height, z), (x + side * 9, 0, z)]
            self.polygon(gable, wall, lit * 0.8)
            self.polygon(front, wall, lit)
            self._courses(x, z, length, height, wall, lit)
            eaves = [
                (x, height, z),
                (x, height + 0.35, z),
                (x, height + 0.35, z + length),
                (x, height, z + length),
            ]
            self.polygon(eaves, wall, lit * 0.66)
            roof = [
                (x, height + 0.35, z),
                (x + side * 4, height + 2.6, z),
                (x + side * 4, height + 2.6, z + length),
                (x, height + 0.35, z + length),
            ]
            self.polygon(roof, (96, 84, 80), lit)
            for floor in range(int(height // 2.9)):
                self._windows(x, z, length, floor, lit)

        self.add(z + length / 2, paint)

    def _courses(
        self, x: float, z: float, length: float, height: float, wall: Color, lit: float
    ) -> None:
        """Weathering: patches of another shade on the wall."""
        for _ in range(70):
            at, up = self.random.uniform(z, z + length), self.random.uniform(0, height)
            wide, high = self.random.uniform(0.3, 1.6), self.random.uniform(0.05, 0.5)
            end, top = min(at + wide, z + length), min(up + high, height)
            patch = [(x, up, at), (x, top, at), (x, top, end), (x, up, end)]
            self.polygon(patch, wall, lit * self.random.uniform(0.93, 1.05))

    def _windows(self, x: float, z: float, length: float, floor: int, lit: float) -> None:
        count = max(2, int(length / 2.3))
        pitch = length / count
        low = floor * 2.9 + 0.9
        for i in range(count):
            at = z + (i + 0.5) * pitch
            is_door = floor == 0 and i == count // 2
            bottom, top = (0.0, 2.2) if is_door else (low, low + 1.5)
            half = 0.5 if is_door else 0.55
            frame = [
                (x, bottom, at - half - 0.1),
                (x, top + 0.1, at - half - 0.1),
                (x, top + 0.1, at + half + 0.1),
                (x, bottom, at + half + 0.1),
            ]
            pane = [
                (x, bottom, at - half),
                (x, top, at - half),
                (x, top, at + half),
                (x, bottom, at + half),
            ]
            self.polygon(frame, (232, 228, 218), lit)
            self.polygon(
                pane, (88, 52, 40) if is_door else (58, 66, 76), self.random.uniform(0.8, 1.25)
            )
            if not is_door:
                bar = [
                    (x, low + 0.72, at - half),
                    (x, low + 0.78, at - half),
                    (x, low + 0.78, at + half),
                    (x, low + 0.72, at + half),
                ]
                self.polygon(bar, (226, 222, 212), lit)

    def tree(
        self, x: float, z: float, height: float, spread: float, leaf: Color = (74, 96, 52)
    ) -> None:
        def paint() -> None:
            trunk = spread * 0.07
            self.polygon(
                [
                    (x - trunk, 0, z),
                    (x - trunk * 0.6, height * 0.6, z),
                    (x + trunk * 0.6, height * 0.6, z),
                    (x + trunk, 0, z),
                ],
                (74, 62, 50),
            )
            for i in range(1500):
                angle, radius = (
                    self.random.uniform(0, 2 * np.pi),
                    np.sqrt(self.random.uniform(0, 1)),
                )
                dx, dy = np.cos(angle) * radius * spread, np.sin(angle) * radius
                lump = 0.85 + 0.25 * np.sin(3 * angle + z) * radius
                px, py = self.project((x + dx * lump, height * 0.66 + dy * height * 0.36 * lump, z))
                size = self.scale(z) * self.random.uniform(0.05, 0.2)
                shade = 0.62 + 0.38 * (dy * 0.6 + 0.5) + self.random.uniform(-0.2, 0.25) + i / 9000
                self.draw.ellipse(
                    (px - size, py - size * 0.8, px + size, py + size * 0.8),
                    fill=self.tone(leaf, z, shade),
                )

        self.add(z, paint)

    def hedge(self, left: float, right: float, z: float, height: float) -> None:
        def paint() -> None:
            for _ in range(900):
                at, up = self.random.uniform(left, right), self.random.uniform(0, height)
                px, py = self.project((at, up, z))
                size = self.scale(z) * self.random.uniform(0.05, 0.14)
                shade = 0.6 + 0.4 * up / height + self.random.uniform(-0.15, 0.2)
                self.draw.ellipse(
                    (px - size, py - size, px + size, py + size),
                    fill=self.tone((70, 92, 50), z, shade),
                )

        self.add(z, paint)

    def post(self, x: float, z: float, height: float, thick: float = 0.07) -> None:
        def paint() -> None:
            top = thick * 0.7
            shaft = [
                (x - thick, 0, z),
                (x - top, height, z),
                (x + top, height, z),
                (x + thick, 0, z),
            ]
            self.polygon(shaft, (104, 106, 104))

        self.add(z, paint)

    def sign(self, x: float, z: float, face: Color, rim: Color = (196, 40, 36)) -> None:
        self.post(x, z, 2.5, 0.04)

        def paint() -> None:
            px, py = self.project((x, 2.45, z))
            for size, color in ((0.36, rim), (0.27, face)):
                reach = self.scale(z) * size
                self.draw.ellipse(
                    (px - reach, py - reach, px + reach, py + reach), fill=self.tone(color, z)
                )

        self.add(z - 0.01, paint)

    def lights(self, x: float, z: float) -> None:
        """A traffic signal."""
        self.post(x, z, 2.2, 0.06)

        def paint() -> None:
            self.polygon(
                [(x - 0.2, 2.1, z), (x - 0.2, 3.1, z), (x + 0.2, 3.1, z), (x + 0.2, 2.1, z)],
                (30, 31, 33),
            )
            for up, color in ((2.9, (226, 52, 42)), (2.6, (70, 58, 30)), (2.3, (28, 62, 40))):
                px, py = self.project((x, up, z))
                size = self.scale(z) * 0.12
                self.draw.ellipse((px - size, py - size, px + size, py + size), fill=color)

        self.add(z - 0.01, paint)

    def car(
        self, x: float, z: float, paint_color: Color, *, oncoming: bool = False, length: float = 4.1
    ) -> None:
        """A hatchback, seen from behind or, oncoming, from the front; one flank shows where it
        stands aside."""
        half, front = 0.87, z
        lamp: Color = (238, 236, 220) if oncoming else (168, 26, 24)
        inner = -np.sign(x) * half  # the flank that faces the middle of the road

        def paint() -> None:
            back = z + length
            flank = x + inner
            body = [
                (flank, 0.3, front),
                (flank, 0.95, front),
                (flank, 0.95, back),
                (flank, 0.3, back),
            ]
            self.polygon(body, paint_color, 0.72)
            side_glass = [
                (flank * 0.99, 0.95, front + 0.4),
                (flank * 0.985, 1.38, front + 0.9),
                (flank * 0.985, 1.38, back - 1.5),
                (flank * 0.99, 0.95, back - 0.8),
            ]
            self.polygon(side_glass, (46, 52, 60), 0.9)
            for axle in (front + 0.75, back - 0.8):
                px, py = self.project((flank, 0.32, axle))
                tall = self.scale(axle) * 0.32
                self.draw.ellipse(
                    (px - tall * 0.45, py - tall, px + tall * 0.45, py + tall), fill=(26, 26, 28)
                )
            roof = [
                (x - half * 0.8, 1.42, front + 0.8),
                (x + half * 0.8, 1.42, front + 0.8),
                (x + half * 0.8, 1.42, back - 1.6),
                (x - half * 0.8, 1.42, back - 1.6),
            ]
            self.polygon(roof, paint_color, 1.08)
            for wheel in (-0.66, 0.66):
                tyre = [
                    (x + wheel - 0.13, 0, front),
                    (x + wheel - 0.13, 0.4, front),
                    (x + wheel + 0.13, 0.4, front),
                    (x + wheel + 0.13, 0, front),
                ]
                self.polygon(tyre, (24, 24, 26))
            cabin = [
                (x - half * 0.93, 0.9, front),
                (x - half * 0.74, 1.42, front + 0.3),
                (x + half * 0.74, 1.42, front + 0.3),
                (x + half * 0.93, 0.9, front),
            ]
            self.polygon(cabin, paint_color, 0.96)
            glass = [
                (x - half * 0.82, 0.96, front),
                (x - half * 0.68, 1.35, front + 0.2),
                (x + half * 0.68, 1.35, front + 0.2),
                (x + half * 0.82, 0.96, front),
            ]
            self.polygon(glass, (52, 60, 70))
            sky_on_glass = [
                (x - half * 0.7, 1.2, front),
                (x - half * 0.66, 1.33, front),
                (x + half * 0.4, 1.33, front),
                (x + half * 0.1, 1.2, front),
            ]
            self.polygon(sky_on_glass, (96, 106, 118))
            self.polygon(
                [
                    (x - half, 0.42, front),
                    (x - half * 0.98, 0.94, front),
                    (x + half * 0.98, 0.94, front),
                    (x + half, 0.42, front),
                ],
                paint_color,
            )
            self.polygon(
                [
                    (x - half, 0.25, front),
                    (x - half, 0.5, front),
                    (x + half, 0.5, front),
                    (x + half, 0.25, front),
                ],
                paint_color,
                0.6,
            )
            for lamp_side in (-1, 1):
                outer, within = x + lamp_side * half * 0.95, x + lamp_side * half * 0.68
                self.polygon(
                    [
                        (outer, 0.68, front),
                        (outer, 0.9, front),
                        (within, 0.9, front),
                        (within, 0.72, front),
                    ],
                    lamp,
                )
            self.polygon(
                [
                    (x - 0.26, 0.54, front),
                    (x - 0.26, 0.66, front),
                    (x + 0.26, 0.66, front),
                    (x + 0.26, 0.54, front),
                ],
                (236, 214, 96),
            )

        self.shadow(x, z - 0.25, 2.3, length + 0.6)
        self.add(z, paint)

    def person(
        self, x: float, z: float, coat: Color, trousers: Color = (44, 48, 60), stride: float = 0.22
    ) -> None:
        def paint() -> None:
            for leg, shade in ((-1, 0.85), (1, 1.0)):
                foot = x + leg * stride
                self.polygon(
                    [
                        (x - 0.12, 0.9, z),
                        (foot - 0.09, 0.04, z),
                        (foot + 0.12, 0.0, z),
                        (x + 0.12, 0.9, z),
                    ],
                    trousers,
                    shade,
                )
            self.polygon(
                [
                    (x - 0.2, 0.84, z),
                    (x - 0.25, 1.4, z),
                    (x - 0.1, 1.52, z),
                    (x + 0.1, 1.52, z),
                    (x + 0.25, 1.4, z),
                    (x + 0.2, 0.84, z),
                ],
                coat,
            )
            self.polygon(
                [(x + 0.18, 1.42, z), (x + 0.3, 0.9, z), (x + 0.22, 0.88, z), (x + 0.1, 1.36, z)],
                coat,
                0.8,
            )
            self.polygon(
                [(x - 0.18, 1.42, z), (x - 0.3, 0.92, z), (x - 0.22, 0.9, z), (x - 0.1, 1.36, z)],
                coat,
                0.86,
            )
            px, py = self.project((x, 1.65, z))
            size = self.scale(z) * 0.115
            self.draw.ellipse(
                (px - size, py - size * 1.25, px + size, py + size * 1.2),
                fill=self.tone((196, 150, 124), z),
            )
            self.draw.pieslice(
                (px - size * 1.08, py - size * 1.4, px + size * 1.08, py + size * 0.9),
                180,
                360,
                fill=self.tone((58, 44, 36), z),
            )

        self.shadow(x, z - 0.1, 0.8, 0.5, 0.4)
        self.add(z, paint)


BRICK, STONE, RENDER, DARK_BRICK = (158, 106, 84), (186, 176, 156), (214, 206, 190), (124, 88, 76)
ASPHALT, PAVING = (104, 103, 106), (158, 152, 146)


def _street(scene: Scene, left: float, right: float, pavement: float) -> None:
    """A road from `left` to `right` with a pavement on both sides."""
    scene.ground(-60, 60, (128, 124, 110), height=-0.02, patches=0)
    scene.ground(left, right, ASPHALT)
    for inner, outer in ((left, left - pavement), (right, right + pavement)):
        low, high = sorted((inner, outer))
        scene.ground(low, high, PAVING, height=0.13, patches=400)
        scene.slabs(low, high, PAVING, height=0.13, length=0.9)
        scene.kerb(inner, (190, 186, 178))


def _row(
    scene: Scene,
    side: int,
    x: float,
    start: float,
    end: float,
    walls: Sequence[Color],
    height: float,
) -> None:
    z, i = start, 0
    while z < end:
        length = float(scene.random.uniform(7, 12))
        scene.house(
            side,
            x,
            z,
            length,
            height + float(scene.random.uniform(-0.8, 1.6)),
            walls[i % len(walls)],
        )
        z, i = z + length, i + 1


def avenue() -> Image.Image:
    scene = Scene(3, Light((196, 214, 236), (226, 232, 238), 1.06, sunny_side=1))
    _street(scene, -4.6, 4.2, 3.0)
    _row(scene, -1, -10.5, 9, 150, (BRICK, RENDER, DARK_BRICK), 7.4)
    _row(scene, 1, 10.0, 14, 150, (STONE, BRICK, RENDER), 6.6)
    for z in (13, 22, 33, 47, 64):
        scene.tree(-6.9, z, 7.5, 2.5)
    for z in (17, 29, 44, 60):
        scene.tree(6.4, z, 6.8, 2.3, (84, 104, 54))
    scene.marking(-0.25, 0.12, [(z, z + 2.4) for z in range(3, 90, 6)])
    for near, color in ((14.5, (150, 30, 34)), (21.0, (196, 198, 202)), (28.5, (44, 58, 92))):
        scene.car(3.1, near, color)
    scene.car(-2.6, 17, (206, 208, 210), oncoming=True)
    scene.car(1.3, 30, (58, 60, 66))
    scene.post(5.0, 11, 6.4)
    scene.post(-5.2, 25, 6.4)
    scene.person(5.8, 12.5, (150, 60, 52))
    scene.person(-6.2, 15, (52, 70, 104))
    scene.sign(4.8, 16, (236, 234, 226))
    return scene.render()


def high_street() -> Image.Image:
    scene = Scene(11, Light((222, 226, 230), (232, 234, 236), 0.98, sunny_side=0))
    _street(scene, -3.6, 3.6, 3.4)
    _row(scene, -1, -7.2, 5, 130, (STONE, DARK_BRICK, RENDER, BRICK), 9.6)
    _row(scene, 1, 7.2, 6, 130, (BRICK, STONE, DARK_BRICK), 9.0)
    scene.marking(-0.06, 0.12, [(z, z + 3.0) for z in range(4, 90, 5)])
    for x in (-3.35, 3.2):
        scene.marking(x, 0.1, [(2.2, 90)])
    scene.car(1.6, 11.5, (38, 62, 112))
    scene.car(-1.9, 20, (172, 174, 178), oncoming=True)
    scene.car(1.7, 33, (130, 34, 36))
    for x, z, coat in (
        (-4.9, 8.6, (96, 44, 50)),
        (-5.6, 9.2, (40, 52, 70)),
        (5.2, 11, (70, 66, 62)),
        (4.6, 17, (122, 110, 92)),
        (-5.0, 19, (36, 40, 46)),
        (5.6, 24, (88, 30, 36)),
    ):
        scene.person(x, z, coat)
    for z in (12, 30, 48):
        scene.post(-4.1, z, 5.2, 0.06)
    scene.sign(4.1, 13, (40, 74, 150), (40, 74, 150))
    scene.sign(-4.0, 16, (236, 234, 226))
    scene.tree(-5.6, 42, 6.5, 2.2)
    scene.tree(5.8, 52, 7.0, 2.4)
    return scene.render()


def junction() -> Image.Image:
    scene = Scene(23, Light((190, 210, 234), (222, 230, 238), 1.04, sunny_side=-1), horizon=0.5)
    _street(scene, -5.4, 5.0, 3.2)
    _row(scene, -1, -13, 26, 150, (RENDER, BRICK), 6.4)
    _row(scene, 1, 12.5, 22, 150, (BRICK, RENDER, STONE), 6.8)
    for z in (9, 15, 24, 36):
        scene.tree(-10.6, z, 8.6, 3.4)
    for x, z in ((9.6, 12), (10.2, 19), (9.4, 30), (9.6, 45)):
        scene.tree(x, z, 7.4, 2.9, (82, 106, 58))
    scene.hedge(-16, -9.0, 14, 1.6)
    scene.hedge(8.4, 15, 16, 1.5)
    scene.marking(-0.2, 0.14, [(z, z + 2.0) for z in range(14, 90, 5)])
    for x in np.arange(-5.0, 4.6, 1.1):
        scene.marking(float(x), 0.55, [(9.4, 12.2)])
    scene.lights(5.6, 12.8)
    scene.lights(-5.9, 12.8)
    scene.post(6.2, 22, 7.2)
    scene.car(2.4, 15.5, (208, 210, 212))
    scene.car(2.6, 26, (52, 70, 58))
    scene.car(-2.9, 18.5, (30, 32, 38), oncoming=True)
    scene.car(-3.1, 31, (166, 40, 38), oncoming=True)
    scene.person(-1.6, 10.4, (54, 92, 120), stride=0.3)
    scene.person(6.5, 11.4, (150, 96, 60))
    scene.person(-7.2, 13, (88, 84, 90))
    return scene.render()


SCENES = {"avenue": avenue, "high-street": high_street, "junction": junction}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in SCENES.items():
        draw().save(folder / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
