"""Pack the files that git knows, and no others that lie beside them."""

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TrackedFiles(BuildHookInterface):
    """Replaces the folders in ``only-include`` with the files in them that git knows.

    Hatchling itself leaves out only what ``.gitignore`` names. Where there is no repository,
    as in an unpacked source package, the folders are packed as they are.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not Path(self.root, ".git").exists():
            return
        target = self.build_config.target_config
        command = ["git", "ls-files", "-z", "--", *target["only-include"]]
        try:
            listed = subprocess.run(command, cwd=self.root, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            self.app.display_warning("git does not list its files; all files are packed")
        else:
            target["only-include"] = listed.stdout.decode().rstrip("\0").split("\0")
