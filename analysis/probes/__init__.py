"""What a pass keeps of each image."""
