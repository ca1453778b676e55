"""Drawing codes from the prior."""
