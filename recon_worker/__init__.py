"""The reconstruction worker: raw k-space in, blinded DICOM and frames out. Knows no reader and no database."""
