"""The door for files: resumable uploads, checksums, raw files."""
