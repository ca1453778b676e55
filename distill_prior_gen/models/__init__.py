"""The two networks of a model file: the VQ-VAE and the prior over its codes."""
