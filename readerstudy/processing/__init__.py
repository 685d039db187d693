"""Jobs and their state, progress, lineage. Sends tasks to the recon worker by name; never imports torch."""
