"""The Prior tab, and an app that has nothing but the tabs."""
