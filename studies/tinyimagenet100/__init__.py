"""The study on a hundred classes of Tiny ImageNet."""
