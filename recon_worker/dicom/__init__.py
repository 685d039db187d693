"""DICOM out: reading orientation, keyed UIDs, authored instances and the frames beside them."""
