"""fastMRI HDF5 files: `kspace` `[slice, coil, kx, ky]` (or `[slice, kx, ky]`) and `ismrmrd_header`.

The array has been put on the full grid with the centre of k-space in the middle of both axes; lines that were not
acquired are zero, and test sets name the acquired ones in `mask` `[ky]`. There are no slice positions, directions or
noise. Source: Zbontar et al., arXiv 1811.08839, section 4 and appendix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace, KSpaceHeader
from recon_worker.rawdata.arrays import (
    NO_NOISE_SCAN,
    PLACE_UNKNOWN,
    Samples,
    axial_stack,
    check_extents,
    kspace_of_array,
)
from recon_worker.rawdata.hdf5 import check_variable_length, open_hdf5, own_member
from recon_worker.rawdata.ismrmrd import cropped
from recon_worker.rawdata.ismrmrd_header import MAX_XML_BYTES, Encoding, IsmrmrdHeader, parse_header

FORMAT = "fastmri"
AGAIN = "Take the file from the data set again."
MAX_EXPANSION = 64
"""Declared bytes over stored bytes; k-space is noise and hardly shrinks, zeros between acquired lines do."""


def is_fastmri(file: h5py.File) -> bool:
    """Whether the open HDF5 file is laid out as fastMRI's are."""
    return "kspace" in file and "ismrmrd_header" in file


def open_fastmri(path: Path) -> KSpace:
    """Read the header of a fastMRI file and find its acquired lines; samples are read slice by slice afterwards.

    Raises
    ------
    InputFault
        For a damaged file, other axes or sizes than the header's, or a 3D or non-Cartesian acquisition.
    """
    with open_hdf5(path) as file:
        table = _samples(file)
        header = parse_header(_header_text(file))
        slices, coils, nx, ny = table.shape if table.ndim == 4 else (table.shape[0], 1, *table.shape[1:])
        check_extents(slices=slices, averages=1, coils=coils, phase_encodes=ny, samples=nx)
        _check_stored(table)
        acquired = _acquired(table, _mask(file, ny))
    encoding = _encoding(header, nx, ny)
    return kspace_of_array(
        _header(header, encoding, slices, coils), acquired[:, None, :], lambda: _read_slices(path)
    )


def _samples(file: h5py.File) -> h5py.Dataset:
    table = own_member(file, "kspace")
    if not isinstance(table, h5py.Dataset) or table.ndim not in (3, 4) or table.dtype != np.complex64:
        raise InputFault(
            "The k-space of this fastMRI file is not complex64 with the axes slice, coil, kx, ky (or slice, kx, ky).",
            AGAIN,
        )
    return table


def _header_text(file: h5py.File) -> bytes:
    xml = own_member(file, "ismrmrd_header")
    no_text = InputFault("The header of this fastMRI file is not text.", AGAIN)
    if not isinstance(xml, h5py.Dataset):
        raise no_text
    string = h5py.check_string_dtype(xml.dtype)
    if string is None or xml.size != 1 or (string.length or 0) > MAX_XML_BYTES:
        raise no_text
    if string.length is None:
        check_variable_length(xml)
    text = xml[()] if xml.shape == () else xml[(0,) * xml.ndim]
    return text.encode() if isinstance(text, str) else bytes(text)


def _check_stored(table: h5py.Dataset) -> None:
    """A few bytes can declare terabytes of zeros."""
    declared, stored = table.size * table.dtype.itemsize, table.id.get_storage_size()
    if declared > MAX_EXPANSION * stored:
        raise InputFault(
            f"The file declares {declared / 1e6:,.1f} MB of samples but holds {stored / 1e6:,.1f} MB.", AGAIN
        )


def _mask(file: h5py.File, steps: int) -> npt.NDArray[np.bool_] | None:
    mask = own_member(file, "mask")
    if mask is None:
        return None
    if not isinstance(mask, h5py.Dataset) or mask.dtype.kind not in "biuf" or mask.size != steps or mask.ndim > 4:
        raise InputFault("The sampling mask of this fastMRI file does not fit its k-space.", AGAIN)
    return np.asarray(mask[()]).reshape(steps) != 0


def _acquired(table: h5py.Dataset, mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """`[slice, ky]`: lines that are not zero in the first coil that has any, and within the mask."""
    acquired = np.zeros((table.shape[0], table.shape[-1]), dtype=bool)
    for index in range(table.shape[0]):
        for coil in range(table.shape[1]) if table.ndim == 4 else (slice(None),):
            acquired[index] = np.any(table[index, coil] != 0, axis=0)
            if acquired[index].any():
                break
    return acquired if mask is None else acquired & mask


def _encoding(header: IsmrmrdHeader, nx: int, ny: int) -> Encoding:
    encoding = header.encodings[0]
    if encoding.trajectory not in ("cartesian", "") or encoding.encoded.matrix[2] > 1:
        raise InputFault(
            "This fastMRI file is not a 2D Cartesian acquisition; only those can be reconstructed.",
            "Choose a 2D Cartesian acquisition.",
        )
    if encoding.encoded.matrix[:2] != (nx, ny):
        stated = " x ".join(str(extent) for extent in encoding.encoded.matrix[:2])
        raise InputFault(
            f"The header of this fastMRI file states {stated} samples, but its k-space has {nx} x {ny}, "
            "so the field of view is unknown.",
            AGAIN,
        )
    return encoding


def _header(header: IsmrmrdHeader, encoding: Encoding, slices: int, coils: int) -> KSpaceHeader:
    (nx, ny), (read_mm, phase_mm) = encoding.encoded.matrix[:2], encoding.encoded.field_of_view_mm[:2]
    columns, image_read_mm = cropped(nx, read_mm, encoding.image.field_of_view_mm[0])
    rows, image_phase_mm = cropped(ny, phase_mm, encoding.image.field_of_view_mm[1])
    thickness = encoding.encoded.field_of_view_mm[2] or encoding.image.field_of_view_mm[2]
    if thickness <= 0:
        raise InputFault("The header does not say how thick the slices are.", AGAIN)
    return KSpaceHeader(
        format=FORMAT,
        encoded_matrix=(nx, ny),
        image_matrix=(columns, rows),
        encoded_field_of_view_mm=(read_mm, phase_mm),
        image_field_of_view_mm=(image_read_mm, image_phase_mm),
        slice_thickness_mm=thickness,
        ky_centre=ny // 2,
        kx_centre=nx // 2,
        n_slices=slices,
        n_coils=coils,
        n_averages=1,
        planes=axial_stack(slices, thickness),
        timing=header.timing,
        remarks=(
            PLACE_UNKNOWN,
            "The distance of the slices is unknown: their thickness is taken.",
            NO_NOISE_SCAN,
        ),
    )


def _read_slices(path: Path) -> Iterator[Samples]:
    with open_hdf5(path) as file:
        table = _samples(file)
        for index in range(table.shape[0]):
            block = table[index] if table.ndim == 4 else table[index][None]
            yield np.ascontiguousarray(np.swapaxes(block, 1, 2), dtype=np.complex64)[None]
