"""The conventional chain: whitening, averaging, coil combination, partial Fourier, geometry, grid and intensity."""
