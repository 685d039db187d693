"""The parts of the reconstruction benchmark: the acquisition, the contenders, each run in a process of its own."""
