"""Writes readouts as an ISMRMRD (MRD 1) HDF5 file, in the layout of the `ismrmrd` package: one row a readout."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import h5py
import ismrmrd
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

    from recon_worker.data import SlicePlane

_ROWS_PER_CHUNK = 64
_SPACE = (
    "<{name}><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>"
    "<fieldOfView_mm><x>{x_mm:g}</x><y>{y_mm:g}</y><z>{z_mm:g}</z></fieldOfView_mm></{name}>"
)


def header_xml(encoded: tuple[int, int], image: tuple[int, int], image_mm: tuple[float, float], slice_mm: float) -> str:
    """The shortest header that describes a Cartesian 2D acquisition; the readout is longer than the image."""
    wide = image_mm[0] * encoded[0] / image[0]
    lengths = {"y_mm": image_mm[1], "z_mm": slice_mm}
    spaces = _SPACE.format(name="encodedSpace", x=encoded[0], y=encoded[1], x_mm=wide, **lengths)
    spaces += _SPACE.format(name="reconSpace", x=image[0], y=image[1], x_mm=image_mm[0], **lengths)
    limits = f"<minimum>0</minimum><maximum>{encoded[1] - 1}</maximum><center>{encoded[1] // 2}</center>"
    return (
        '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
        "<experimentalConditions><H1resonanceFrequency_Hz>127740000</H1resonanceFrequency_Hz></experimentalConditions>"
        f"<encoding>{spaces}<encodingLimits><kspace_encoding_step_1>{limits}</kspace_encoding_step_1></encodingLimits>"
        "<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
    )


class IsmrmrdRows:
    """A raw file being written; use as a context manager."""

    def __init__(self, path: Path, header: str) -> None:
        floats = h5py.special_dtype(vlen=np.dtype("float32"))
        row = np.dtype([("head", ismrmrd.hdf5.acquisition_header_dtype), ("traj", floats), ("data", floats)])
        self._file = h5py.File(path, "w", libver="v110")
        group = self._file.create_group("dataset")
        group.create_dataset("xml", shape=(1,), dtype=h5py.special_dtype(vlen=bytes))[0] = header.encode()
        self._table = group.create_dataset("data", (0,), maxshape=(None,), chunks=(_ROWS_PER_CHUNK,), dtype=row)

    def __enter__(self) -> IsmrmrdRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(
        self,
        samples: npt.NDArray[np.complex64],
        plane: SlicePlane,
        *,
        number: int = 0,
        average: int = 0,
        noise: bool = False,
    ) -> None:
        """Readouts `[line, coil, sample]`: every phase-encode step of one slice and average, or a noise scan."""
        rows = np.empty(len(samples), dtype=self._table.dtype)
        head = np.zeros(len(samples), dtype=ismrmrd.hdf5.acquisition_header_dtype)
        head["version"] = 1
        head["number_of_samples"], head["center_sample"] = samples.shape[2], samples.shape[2] // 2
        head["available_channels"] = head["active_channels"] = samples.shape[1]
        head["sample_time_us"] = 3.0
        head["position"], head["slice_dir"] = plane.centre_mm, plane.slice_direction
        head["read_dir"], head["phase_dir"] = plane.read_direction, plane.phase_direction
        if noise:
            head["flags"] = np.uint64(1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1))
        else:
            head["idx"]["kspace_encode_step_1"] = np.arange(len(samples))
            head["idx"]["slice"], head["idx"]["average"] = number, average
        rows["head"] = head
        for row, values in enumerate(np.ascontiguousarray(samples, dtype=np.complex64)):
            rows["traj"][row] = np.zeros(0, dtype=np.float32)
            rows["data"][row] = values.view(np.float32).ravel()
        count = self._table.shape[0]
        self._table.resize((count + len(rows),))
        self._table[count:] = rows
