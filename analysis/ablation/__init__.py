"""Running what follows a block with feature maps dropped."""
