"""Generate new sound from the second-generation models of the Distill app.

The public names are listed in ``__init__.pyi`` and imported on first use, so that
``import distill_prior_gen`` loads neither torch nor gradio.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
