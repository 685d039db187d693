"""Scans a subject: slices of one sequence as noiseless k-space per coil, and what the image should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recon_worker.data import SlicePlane
from recon_worker.data.geometry import affine_from_planes
from recon_worker.phantom.anatomy import Subject
from recon_worker.phantom.coils import CoilArray, combined_sensitivity, draw_coils
from recon_worker.phantom.contrast import (
    BLOOD,
    CSF_T2_MS,
    FAT_T1_MS,
    FAT_T2_MS,
    LONG_T2_MS,
    SHORT_T2_MS,
    TISSUES,
    render,
    short_share,
    spin_echo,
)
from recon_worker.phantom.echo_train import decay, echo_trains, passes
from recon_worker.phantom.fields import FAT_SHIFT_HZ, Fields, draw_fields
from recon_worker.phantom.protocol import SEQUENCES, Scan
from recon_worker.phantom.sampling import FineGrid, to_image
from recon_worker.phantom.shapes import Coordinates, Vector, smooth_step

ComplexArray = npt.NDArray[np.complex64]
SAGITTAL_PLANES = (-0.4, 0.0, 0.4)
AXIAL_PLANES = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Planes, in slice thicknesses from the middle, that make up a slice; more where slices cut endplates obliquely."""
BELLY_T2_MS = 90.0


@dataclass(frozen=True)
class Component:
    """k-space of the part of a slice that decays and moves in one way.

    Attributes
    ----------
    name
        "short" and "long" (T2), "csf", "blood" (which has no part in the still image), "belly" (moves with the breath).
    t2_ms
        Its decay along the echo train.
    samples
        `[coil, ky, kx]` complex64 on the full encoded grid, at the effective echo time, at rest.
    """

    name: str
    t2_ms: float
    samples: ComplexArray


@dataclass(frozen=True)
class SliceSignal:
    """Noiseless signal of one slice of the subject at rest.

    Attributes
    ----------
    index
        Slice number along the slice direction.
    components
        What the lines of a scan are put together from; those that the slice does not hold are left out.
    weights
        `[component, ky]` float32: decay at the echo of each line in the Standard acquisition, 0 for the blood.
    image
        `[row, column]` complex64: the object without coils as the Standard acquisition shows it at rest, band-limited
        to the scan's k-space.
    sensitivity
        `[row, column]` float32: the best combination's sensitivity, 1 at L3.
    """

    index: int
    components: tuple[Component, ...]
    weights: npt.NDArray[np.float32]
    image: ComplexArray
    sensitivity: npt.NDArray[np.float32]

    @property
    def samples(self) -> ComplexArray:
        """`[coil, ky, kx]` of the Standard acquisition of the subject at rest."""
        total = np.zeros_like(self.components[0].samples)
        for component, weight in zip(self.components, self.weights, strict=True):
            total += component.samples * weight[:, None]
        return total


def slice_profile(distance: float) -> float:
    """Excitation `distance` slice thicknesses from the middle of a slice: 1 inside, fading out around its edge."""
    return float(1 - smooth_step(np.float32(distance) * np.ones((1, 1), np.float32), 0.55, 0.4)[0, 0])


@dataclass(frozen=True)
class Scanner:
    """One sequence set up on one subject: geometry, coils, imperfections, noise level.

    Attributes
    ----------
    sigma
        Standard deviation of the noise per real or imaginary part of a sample, before the coils' covariance.
    motion
        Amount of movement and flow during the acquisitions: 1 as in patients, 0 for a still object.
    echo_imperfections
        Whether T2 decays along the echo train and odd and even echoes differ a little in phase.
    """

    subject: Subject
    scan: Scan
    planes: tuple[SlicePlane, ...]
    coils: CoilArray
    fields: Fields
    sigma: float
    motion: float = 1.0
    echo_imperfections: bool = True

    @property
    def encoded_field_of_view_mm(self) -> tuple[float, float]:
        """`(read, phase)` with readout oversampling."""
        return 2 * self.scan.field_of_view_mm, self.scan.field_of_view_mm

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """`(column spacing, row spacing)` of the image."""
        length = self.scan.field_of_view_mm
        return length / self.scan.matrix[0], length / self.scan.matrix[1]

    @property
    def affine(self) -> Vector:
        """`[4, 4]` from (slice, row, column) of the acquired image to LPS mm."""
        return affine_from_planes(
            list(self.planes),
            rows=self.scan.matrix[1],
            columns=self.scan.matrix[0],
            row_spacing_mm=self.pixel_mm[1],
            column_spacing_mm=self.pixel_mm[0],
            slice_thickness_mm=self.scan.thickness_mm,
        )

    @cached_property
    def grid(self) -> FineGrid:
        """Where the anatomy is sampled."""
        scan = self.scan
        torso = self.subject.torso
        centre = self.planes[0].centre_mm
        reach = scan.field_of_view_mm * (0.61 if scan.sagittal else 0.985)
        return FineGrid.covering(
            scan.encoded_matrix,
            self.encoded_field_of_view_mm,
            scan.finer,
            read_mm=(-reach, reach),
            phase_mm=(torso.front_y - 4 - centre[1], torso.back_y + 4 - centre[1]),
        )

    def object_parts(self, index: int) -> dict[str, ComplexArray]:
        """The slice's signal on the fine grid before the coils, by component: `[row, column]` complex64."""
        scan, subject, grid = self.scan, self.subject, self.grid
        middle = grid.plane(self.planes[index])
        points = middle.points(middle.whole())
        names = ("short", "long", "csf", "fat", "blood")
        parts = {name: np.zeros(grid.shape, dtype=np.float32) for name in names}
        offsets = SAGITTAL_PLANES if scan.sagittal else AXIAL_PLANES
        profile = [slice_profile(abs(offset)) for offset in offsets]
        for offset, excited in zip(offsets, profile, strict=True):
            plane = grid.plane(self.planes[index], offset * scan.thickness_mm)
            overlap = self.neighbours_overlap(index, offset)
            signals = render(subject.layers(plane), plane.shape, scan.weighting, overlap)
            for name in names:
                parts[name] += getattr(signals, name) * np.float32(excited / sum(profile))
        fat = parts.pop("fat") * self.fields.fat_left(scan, subject, points)
        shift = scan.field_of_view_mm * FAT_SHIFT_HZ / (2000 * scan.bandwidth_khz) / grid.step_mm[0]
        fat = _shifted(np.asarray(fat, dtype=np.float32), shift)
        quick = np.float32(short_share(FAT_T2_MS))
        parts["short"] += quick * fat
        parts["long"] += (1 - quick) * fat
        moving = self._moves_with_breath(points)
        parts["belly"] = moving * (parts["short"] + parts["long"])
        parts["short"] *= 1 - moving
        parts["long"] *= 1 - moving
        common = self.fields.excitation(subject, scan, points) * self.fields.phase(subject, points)
        return {name: np.asarray(part * common, dtype=np.complex64) for name, part in parts.items()}

    def neighbours_overlap(self, index: int, offset: float) -> float:
        """How much the neighbouring slices excite the plane `offset` thicknesses from the middle of slice `index`.

        Where the even and the odd slices are acquired in separate passes, nothing.
        """
        if passes(self.scan) > 1:
            return 0.0
        pitch = self.scan.spacing_mm / self.scan.thickness_mm
        overlap = 0.0
        if index > 0:
            overlap += slice_profile(abs(pitch + offset))
        if index < len(self.planes) - 1:
            overlap += slice_profile(abs(pitch - offset))
        return min(overlap, 1.0)

    def _moves_with_breath(self, points: Coordinates) -> npt.NDArray[np.float32]:
        """Share of what moves with the belly's wall: all well in front of the spine, nothing beside it."""
        _, y, z = points
        edge = self.subject.spine.curve.at("front", z) - np.float32(62.0)
        return np.asarray(1 - smooth_step(y, edge, 44.0), dtype=np.float32)

    def slices(self) -> Iterator[SliceSignal]:
        """All slices, one at a time."""
        for index in range(len(self.planes)):
            yield self.slice_signal(index)

    def slice_signal(self, index: int) -> SliceSignal:
        """Noiseless k-space of slice `index`."""
        columns = self.scan.matrix[0]
        times = {"short": SHORT_T2_MS, "long": LONG_T2_MS, "csf": CSF_T2_MS, "blood": BLOOD.t2_ms, "belly": BELLY_T2_MS}
        sensitivities = self.coils.sensitivities(self.grid.plane(self.planes[index]))
        still = np.zeros(self.scan.encoded_matrix[::-1], dtype=np.complex64)
        echo = echo_trains(self.scan, "Standard").echo
        components: list[Component] = []
        weights: list[npt.NDArray[np.float32]] = []
        for name, part in self.object_parts(index).items():
            if components and not part.any():
                continue
            samples = np.empty((len(sensitivities), *still.shape), dtype=np.complex64)
            for coil, one in enumerate(sensitivities):
                samples[coil] = self.grid.encode(part * one)
            components.append(Component(name, times[name], samples))
            weight = np.ones(len(echo), dtype=np.float32)
            if self.echo_imperfections:
                weight = decay(self.scan, echo, times[name])
            weights.append(weight * np.float32(name != "blood"))
            if name != "blood":
                still += self.grid.encode(part) * weight[:, None]
        # The image's own pixels, for the sensitivity there.
        rows, length = self.scan.matrix[1], self.scan.field_of_view_mm
        half = (-columns // 2, columns // 2), (-rows // 2, rows // 2)
        pixels = FineGrid((columns, rows), (length, length), 1, *half)
        there = self.coils.sensitivities(pixels.plane(self.planes[index]))
        return SliceSignal(
            index=index,
            components=tuple(components),
            weights=np.stack(weights),
            image=to_image(still, columns),
            sensitivity=combined_sensitivity(there, self.coils.covariance),
        )


def _shifted(image: npt.NDArray[np.float32], columns: float) -> npt.NDArray[np.float32]:
    """`image` moved by a fraction of columns towards higher column numbers."""
    whole = int(np.floor(columns))
    part = np.float32(columns - whole)
    near = np.roll(image, whole, axis=1)
    return np.asarray((1 - part) * near + part * np.roll(near, 1, axis=1), dtype=np.float32)


def marrow_signal(scan: Scan, marrow_fat: float, fat_left: float) -> float:
    """Signal of the marrow of a body."""
    marrow = TISSUES["marrow"]
    water = spin_echo(marrow.t1_ms, marrow.t2_ms, scan.weighting)
    fat = spin_echo(FAT_T1_MS, FAT_T2_MS, scan.weighting) * (fat_left if scan.fat_suppressed else 1.0)
    return marrow.density * ((1 - marrow_fat) * water + marrow_fat * fat)


def place_slices(subject: Subject, scan: Scan) -> tuple[SlicePlane, ...]:
    """The stack as a technologist would put it: sagittal over the bodies, axial over L1-S1."""
    spine, torso = subject.spine, subject.torso
    top = spine.body("T12").frame.centre_mm[2] + spine.body("T12").height * 0.6
    s1 = spine.body("S1")
    bottom = s1.frame.position(0.0, 0.0, -s1.height / 2)[2]
    offsets = (np.arange(scan.n_slices) - (scan.n_slices - 1) / 2) * scan.spacing_mm
    if scan.sagittal:
        middle_z = (top + bottom) / 2 - 2.0
        middle_x = float(spine.curve.at("x", np.linspace(bottom, top, 30).astype(np.float32)).mean())
        middle_y = torso.back_y + 10.0 - scan.field_of_view_mm / 2
        return tuple(
            SlicePlane((middle_x + offset, middle_y, middle_z), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
            for offset in offsets
        )
    discs = {disc.name: disc.frame.centre_mm for disc in spine.measured_discs()}
    if scan.n_slices < 20:
        middle_z = float(discs["L3-L4"][2])
    else:
        middle_z = float(discs["L5-S1"][2]) - 12 + (scan.n_slices - 1) / 2 * scan.spacing_mm
    middle_y = torso.back_y + 6.0 - scan.field_of_view_mm / 2
    middle_x = float(spine.curve.at("x", middle_z))
    return tuple(
        SlicePlane((middle_x, middle_y, middle_z + offset), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        for offset in offsets
    )


def set_up(subject: Subject, scan: Scan, *, seed: int, number: int, motion: float = 1.0) -> Scanner:
    """A scanner for `scan` of subject `number` in the study with `seed`; `motion` 0 for a subject that keeps still."""
    rng = np.random.default_rng([seed, number, 2, SEQUENCES.index(scan.sequence)])
    planes = place_slices(subject, scan)
    centre = np.mean([plane.centre_mm for plane in planes], axis=0)
    l3 = subject.spine.body("L3").frame.centre_mm
    # The array is the same for all sequences of a subject; its loops lie under the middle of the lumbar spine.
    coil_rng = np.random.default_rng([seed, number, 3])
    coils = draw_coils(coil_rng, coils=scan.coils, back_y=subject.torso.back_y, reference_mm=l3)
    fields = draw_fields(rng, subject, scan, centre)
    signal = marrow_signal(scan, subject.marrow_fat, fields.fat_residual)
    sigma = signal / scan.marrow_snr * np.sqrt(scan.averages("Standard"))
    return Scanner(subject, scan, planes, coils, fields, float(sigma), motion)
