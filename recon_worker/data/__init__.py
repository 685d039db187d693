"""What things are: raw k-space, image volumes, geometry, and whose fault an error is."""

from recon_worker.data.chain_choice import ChainChoice, chain_choice
from recon_worker.data.faults import InputFault, ReconstructionFault
from recon_worker.data.geometry import SlicePlane
from recon_worker.data.kspace import KSpace, KSpaceHeader, KSpaceSlice
from recon_worker.data.volume import Volume

__all__ = [
    "ChainChoice",
    "InputFault",
    "KSpace",
    "KSpaceHeader",
    "KSpaceSlice",
    "ReconstructionFault",
    "SlicePlane",
    "Volume",
    "chain_choice",
]
