"""Writes one acquisition as an ISMRMRD (MRD 1) HDF5 file: one row per readout, slice by slice.

The rows go in with h5py, a slice at a time, in the layout that the `ismrmrd` package defines: its own `append` makes
one Python object and one resize per line. No patient, study or institution element is written.

Source: ISMRMRD schema (ismrmrd.xsd) and header (ismrmrd.h), version 1.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from xml.sax.saxutils import escape

import h5py
import ismrmrd
import numpy as np
import numpy.typing as npt

from recon_worker.data import SlicePlane
from recon_worker.phantom.echo_train import EchoTrains
from recon_worker.phantom.protocol import Scan

ComplexArray = npt.NDArray[np.complex64]
LARMOR_HZ = 127_740_000
_ROWS_PER_CHUNK = 64


def _flag(*numbers: int) -> np.uint64:
    return np.uint64(sum(1 << (number - 1) for number in numbers))


def header_xml(scan: Scan, acquisition: str, n_slices: int) -> str:
    """The XML header: encoding, limits and timing."""
    kx, ky = scan.encoded_matrix
    columns, rows = scan.matrix
    length = scan.field_of_view_mm
    lines = scan.lines(acquisition)
    averages = scan.averages(acquisition)
    echo_spacing = round(scan.echo_spacing_ms, 3)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <version>1</version>
  <measurementInformation>
    <patientPosition>HFS</patientPosition>
    <protocolName>{escape(scan.sequence)}</protocolName>
  </measurementInformation>
  <acquisitionSystemInformation>
    <systemVendor>simulated</systemVendor>
    <systemFieldStrength_T>3.0</systemFieldStrength_T>
    <relativeReceiverNoiseBandwidth>1.0</relativeReceiverNoiseBandwidth>
    <receiverChannels>{scan.n_coils}</receiverChannels>
  </acquisitionSystemInformation>
  <experimentalConditions>
    <H1resonanceFrequency_Hz>{LARMOR_HZ}</H1resonanceFrequency_Hz>
  </experimentalConditions>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{kx}</x><y>{ky}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{2 * length:g}</x><y>{length:g}</y><z>{scan.thickness_mm:g}</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{columns}</x><y>{rows}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{length:g}</x><y>{length:g}</y><z>{scan.thickness_mm:g}</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>{lines[0]}</minimum><maximum>{lines[-1]}</maximum><center>{ky // 2}</center></kspace_encoding_step_1>
      <kspace_encoding_step_2><minimum>0</minimum><maximum>0</maximum><center>0</center></kspace_encoding_step_2>
      <average><minimum>0</minimum><maximum>{averages - 1}</maximum><center>0</center></average>
      <slice><minimum>0</minimum><maximum>{n_slices - 1}</maximum><center>{n_slices // 2}</center></slice>
      <segment><minimum>0</minimum><maximum>{scan.echo_train_length - 1}</maximum><center>{scan.effective_echo}</center></segment>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
    <echoTrainLength>{scan.echo_train_length}</echoTrainLength>
  </encoding>
  <sequenceParameters>
    <TR>{scan.weighting.tr_ms:g}</TR>
    <TE>{scan.weighting.te_ms:g}</TE>
    <flipAngle_deg>90</flipAngle_deg>
    <sequence_type>TurboSpinEcho</sequence_type>
    <echo_spacing>{echo_spacing:g}</echo_spacing>
  </sequenceParameters>
</ismrmrdHeader>
"""  # noqa: E501


class AcquisitionFile:
    """A raw file being written: noise scan first, then one slice after the other. Use as a context manager."""

    def __init__(self, path: Path, scan: Scan, acquisition: str, planes: tuple[SlicePlane, ...]) -> None:
        self._scan = scan
        self._acquisition = acquisition
        self._planes = planes
        self._count = 0
        self._file = h5py.File(path, "w", libver="v110")
        group = self._file.create_group("dataset")
        text = group.create_dataset("xml", shape=(1,), dtype=h5py.special_dtype(vlen=bytes))
        text[0] = header_xml(scan, acquisition, len(planes)).encode()
        self._table = group.create_dataset(
            "data",
            shape=(0,),
            maxshape=(None,),
            chunks=(_ROWS_PER_CHUNK,),
            dtype=_row_type(),
        )

    def __enter__(self) -> AcquisitionFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write_noise(self, noise: ComplexArray) -> None:
        """Readouts without signal, `[readout, coil, sample]`, sampled as fast as the image's."""
        heads = self._heads(len(noise), noise.shape[2], self._planes[0])
        heads["flags"] = _flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        self._append(heads, noise)

    def write_slice(self, index: int, average: int, trains: EchoTrains, samples: ComplexArray) -> None:
        """Readouts `[line, coil, sample]` of one slice and average; the echo of each goes into the segment counter."""
        heads = self._heads(len(trains.lines), samples.shape[2], self._planes[index])
        heads["idx"]["kspace_encode_step_1"] = trains.lines
        heads["idx"]["segment"] = trains.echo
        heads["idx"]["slice"] = index
        heads["idx"]["average"] = average
        heads["flags"][0] |= _flag(ismrmrd.ACQ_FIRST_IN_SLICE, ismrmrd.ACQ_FIRST_IN_AVERAGE)
        heads["flags"][-1] |= _flag(ismrmrd.ACQ_LAST_IN_SLICE, ismrmrd.ACQ_LAST_IN_AVERAGE)
        if index == len(self._planes) - 1 and average == self._scan.averages(self._acquisition) - 1:
            heads["flags"][-1] |= _flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
        self._append(heads, samples)

    def _heads(self, count: int, samples: int, plane: SlicePlane) -> npt.NDArray[np.void]:
        heads = np.zeros(count, dtype=ismrmrd.hdf5.acquisition_header_dtype)
        coils = self._scan.n_coils
        heads["version"] = 1
        heads["scan_counter"] = self._count + np.arange(count)
        heads["number_of_samples"] = samples
        heads["available_channels"] = coils
        heads["active_channels"] = coils
        heads["channel_mask"][:, 0] = np.uint64((1 << coils) - 1)
        heads["center_sample"] = samples // 2
        # Twice the readout bandwidth, for the oversampled readout.
        heads["sample_time_us"] = 1000 / (4 * self._scan.bandwidth_khz)
        heads["position"] = plane.centre_mm
        heads["read_dir"] = plane.read_direction
        heads["phase_dir"] = plane.phase_direction
        heads["slice_dir"] = plane.slice_direction
        return heads

    def _append(self, heads: npt.NDArray[np.void], samples: ComplexArray) -> None:
        rows = np.empty(len(heads), dtype=self._table.dtype)
        rows["head"] = heads
        empty = np.zeros(0, dtype=np.float32)
        values = np.ascontiguousarray(samples, dtype=np.complex64).view(np.float32).reshape(len(heads), -1)
        for number in range(len(heads)):
            rows["traj"][number] = empty
            rows["data"][number] = values[number]
        self._table.resize((self._count + len(heads),))
        self._table[self._count :] = rows
        self._count += len(heads)


def _row_type() -> np.dtype:
    floats = h5py.special_dtype(vlen=np.dtype("float32"))
    return np.dtype([("head", ismrmrd.hdf5.acquisition_header_dtype), ("traj", floats), ("data", floats)])
