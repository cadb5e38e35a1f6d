"""The study on CIFAR-10."""
