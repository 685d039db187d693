"""Training of the networks and the evaluation of what came out."""
