"""What the shape of a response tells: soma, axon, receptive field, and where they lie to each other."""
