"""The Prior tab, and a stand-alone app that serves it."""
