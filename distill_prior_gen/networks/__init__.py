"""The two networks of a model, with the parameter names of the ``.distill`` file."""
