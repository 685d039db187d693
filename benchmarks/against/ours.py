"""This project's chain: the ISMRMRD file to the complex combined image."""

from __future__ import annotations

import torch

from against.child import finish, read_task, start_clock
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct


def main() -> None:
    """Reconstruct one acquisition."""
    task = read_task()
    torch.set_num_threads(task.threads)
    clock = start_clock()
    image = reconstruct(open_kspace(task.files.raw)).volume.array
    finish(clock, task, image)


if __name__ == "__main__":
    main()
