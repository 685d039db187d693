"""Clean images to train and test the denoiser with, split by patient: real ones and our simulator's.

Real slices are averaged over 2 x 2 pixels when used, which halves their own noise and leaves no ringing. The
simulator's are drawn with random tissue contrast at twice the resolution, without noise.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recon_worker.phantom.anatomy import Subject, draw_subject
from recon_worker.phantom.shapes import PlaneGrid

Image = npt.NDArray[np.float32]
Progress = Callable[[str, float], None]

TEST_PATIENTS = 7
"""SPIDER patients whose number is divisible by this are for testing only; of the others, every seventh validates."""
TEST_VB2 = ("19", "23")
NOISIEST = 0.01
"""Own noise over the 99th percentile, after 2 x 2 averaging, above which a slice is not used."""
AVERAGED_NOISE = 0.6
"""Part of the noise left by the 2 x 2 average; 0.5 if it were white."""
SMALLEST = 256
PERCENTILE = 99.0


@dataclass(frozen=True)
class CleanImage:
    """One slice `[row, column]`, 99th percentile 1; `fine`: to be averaged over 2 x 2 pixels before use.

    `part` is "training", "validation" or "test"; `kind` the contrast or source; `own_noise` its own noise over the
    99th percentile (after the averaging).
    """

    pixels: npt.NDArray[np.float16]
    name: str
    kind: str
    part: str
    fine: bool
    own_noise: float

    def native(self) -> Image:
        """The slice as it is used, float32 `[row, column]`."""
        full = self.pixels.astype(np.float32)
        return averaged(full) if self.fine else full


def averaged(image: Image) -> Image:
    """Mean of 2 x 2 pixels; odd last rows and columns are dropped."""
    rows, columns = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    cut = image[:rows, :columns]
    return np.asarray(cut.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)), dtype=np.float32)


def noise_estimate(image: Image) -> float:
    """Standard deviation of white noise: Haar diagonal band, lower quartile of the blocks that hold tissue."""
    rows, columns = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    cut = image[:rows, :columns]
    diagonal = (cut[::2, ::2] - cut[1::2, ::2] - cut[::2, 1::2] + cut[1::2, 1::2]) / 2
    level = averaged(image)
    block = 8
    height, width = diagonal.shape[0] // block, diagonal.shape[1] // block
    parts = diagonal[: height * block, : width * block].reshape(height, block, width, block)
    bright = level[: height * block, : width * block].reshape(height, block, width, block).mean(axis=(1, 3))
    spread = np.median(np.abs(parts), axis=(1, 3)) / 0.6745
    tissue = spread[bright > 0.15 * np.percentile(image, PERCENTILE)]
    return float(np.percentile(tissue, 25)) if tissue.size else 0.0


def part_of(name: str) -> str:
    """Which part a file of the development data belongs to, by its patient."""
    spider = re.match(r"(\d+)_", name)
    if spider:
        number = int(spider.group(1))
        return "test" if number % TEST_PATIENTS == 0 else "validation" if number % 14 == 1 else "training"
    vb2 = re.match(r"vb2_(\d+)", name)
    if vb2:
        return "test" if vb2.group(1) in TEST_VB2 else "training"
    return "training"


def _clean(pixels: npt.NDArray[np.generic], name: str, kind: str, fine: bool) -> CleanImage | None:
    image = np.asarray(pixels, dtype=np.float32)
    if min(image.shape) < (SMALLEST if fine else SMALLEST // 2):
        return None
    image = image / np.percentile(image, PERCENTILE)
    # After averaging, the estimate sees anatomy more than noise: measured before, and halved or a little less.
    noise = noise_estimate(image) * (AVERAGED_NOISE if fine else 1.0)
    if noise > NOISIEST:
        return None
    return CleanImage(np.clip(image, 0, 4).astype(np.float16), name, kind, part_of(name), fine, noise)


def real_images(data: Path, progress: Progress) -> Iterator[CleanImage]:
    """All usable real slices below `data` (the folder that holds `spine/` and `brain/`)."""
    spine = data / "spine"
    folders = ("spider_mid", "spider_space_labelled", "lumbar_vb2")
    files = sorted(path for folder in folders for path in spine.glob(f"{folder}/*.npz"))
    for done, path in enumerate(files):
        progress("real images", done / max(len(files), 1))
        with np.load(path, allow_pickle=False) as held:
            if "images" in held:
                stack = list(held["images"])
            elif held["image"].ndim == 3:
                volume = held["image"]
                middle = volume.shape[2] // 2
                stack = [volume[:, :, index] for index in range(middle - 8, middle + 9, 2)]
            else:
                stack = [held["image"]]
        kind = path.stem.split("_", 1)[1] if path.parent.name.startswith("spider") else "vb2"
        for number, pixels in enumerate(stack):
            if (clean := _clean(pixels, f"{path.stem}", kind, True)) is not None:
                yield clean
            if number > 8:
                break
    yield from _brain(data / "brain" / "colin27" / "ch2.nii.gz")


def _brain(path: Path) -> Iterator[CleanImage]:
    if not path.exists():
        return
    raw = gzip.decompress(path.read_bytes())
    header = np.frombuffer(raw[:352], dtype=np.int16)
    shape = tuple(int(n) for n in header[21:24])
    kind = {2: np.uint8, 4: np.int16, 16: np.float32}[int(header[35])]
    offset = int(np.frombuffer(raw[108:112], dtype=np.float32)[0])
    volume = np.frombuffer(raw[offset:], dtype=kind, count=int(np.prod(shape))).reshape(shape, order="F")
    for axis in range(3):
        middle = shape[axis] // 2
        for index in range(middle - 28, middle + 29, 8):
            clean = _clean(np.take(volume, index, axis=axis), f"colin27_{axis}_{index}", "brain", False)
            if clean is not None:
                yield clean


TISSUE_CLASSES = {"air": 0.0, "cortical bone": 0.03, "flowing blood": 0.05}
FINE_PIXELS = 512


def simulated_images(
    subjects: int, progress: Progress, *, seed: int = 4, slices: int = 4, contrasts: int = 3, part: str = "training"
) -> Iterator[CleanImage]:
    """Slices of `subjects` simulated people, each in several random contrasts, at twice the final resolution."""
    for number in range(1, subjects + 1):
        rng = np.random.default_rng([seed, number, 44])
        subject = draw_subject(seed, number)
        for index in range(slices):
            progress("simulated images", ((number - 1) * slices + index) / (subjects * slices))
            plane = _random_plane(subject, rng, sagittal=index % 4 != 3)
            layers = list(subject.layers(plane))
            for contrast in range(contrasts):
                image = np.zeros(plane.shape, dtype=np.float32)
                signal = {
                    name: TISSUE_CLASSES.get(name, float(rng.uniform(0.05, 1.0) ** rng.uniform(0.7, 1.6)))
                    for name in sorted({layer.tissue for layer in layers})
                }
                fat = float(rng.uniform(0.05, 1.0))
                for layer in layers:
                    share = 0.0 if layer.fat is None else np.clip(layer.fat, 0, 1)
                    value = layer.density * ((1 - share) * np.float32(signal[layer.tissue]) + share * np.float32(fat))
                    image[layer.window] = (1 - layer.occupancy) * image[layer.window] + layer.occupancy * value
                image /= max(float(np.percentile(image, PERCENTILE)), 1e-3)
                pixels = np.clip(image, 0, 4).astype(np.float16)
                yield CleanImage(pixels, f"simulated_{number}_{index}_{contrast}", "simulated", part, True, 0.0)


def _random_plane(subject: Subject, rng: np.random.Generator, sagittal: bool) -> PlaneGrid:
    step = float(rng.uniform(0.35, 0.6))
    l3 = subject.spine.body("L3").frame.centre_mm
    z = float(l3[2] + rng.uniform(-50, 40))
    half = step * FINE_PIXELS / 2
    if sagittal:
        x = float(subject.spine.curve.at("x", z)) + float(rng.normal(0, 12))
        origin = np.array([x, l3[1] + 15 - half, z + half])
        return PlaneGrid(origin, np.array([0, 0, -step]), np.array([0, step, 0]), (FINE_PIXELS, FINE_PIXELS))
    x = float(subject.spine.curve.at("x", z))
    origin = np.array([x - half, l3[1] + 5 - half, z])
    return PlaneGrid(origin, np.array([0, step, 0]), np.array([step, 0, 0]), (FINE_PIXELS, FINE_PIXELS))


def shape_images(count: int, *, seed: int = 9, size: int = 384, part: str = "training") -> Iterator[CleanImage]:
    """Random ellipses, stripes and thin lines with sharp edges on smooth ground, at twice the final resolution."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        slope = rng.normal(0, 0.3, 2) / size
        image = rng.uniform(0, 0.6) + slope[0] * (rows - size / 2) + slope[1] * (columns - size / 2)
        for _ in range(int(rng.integers(6, 40))):
            value = float(rng.uniform(0, 1.0))
            angle = float(rng.uniform(0, np.pi))
            y, x = rng.uniform(0, size, 2)
            along = (rows - y) * np.cos(angle) + (columns - x) * np.sin(angle)
            across = -(rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
            long, short = np.exp(rng.uniform(np.log(3), np.log(size / 4), 2))
            form = rng.integers(4)
            if form == 0:
                inside = (along / long) ** 2 + (across / short) ** 2 < 1
            elif form == 1:
                inside = (np.abs(along) < long) & (np.abs(across) < short)
            elif form == 2:
                curve = np.abs(across + 0.5 * long * (along / size) ** 2)
                inside = (curve < rng.uniform(1.0, 2.5)) & (np.abs(along) < 3 * long)
            else:
                radius = np.hypot(along / long, across / short)
                inside = np.abs(radius - 1) < 2.0 / min(long, short)
            image = np.where(inside, value, image)
        image = np.clip(image, 0, None)
        image = image / max(float(np.percentile(image, PERCENTILE)), 1e-3)
        yield CleanImage(image.astype(np.float16), f"shapes_{number}", "shapes", part, True, 0.0)
