"""What a pass keeps of each image: predictions, activity at the taps of blocks, correctness with maps dropped."""
