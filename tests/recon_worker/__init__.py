import recon_worker  # noqa: F401  before torch: it says how torch's threads wait for one another
