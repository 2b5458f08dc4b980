"""Environments of their own, in which the package is installed without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD_PACKAGES = ("cmake", "nanobind", "ninja", "scikit_build_core")


def compiler() -> str | None:
    """The C++ compiler that a build finds here; ``None`` where there is none."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def missing_for_a_build() -> str:
    """Why no test can build here; empty where one can."""
    if compiler() is None:
        return "no C++ compiler was found"
    missing = [
        name for name in BUILD_PACKAGES if find_package(name) is None and shutil.which(name.replace("_", "-")) is None
    ]
    return f"{', '.join(missing)} not installed: expected the extra dev" if missing else ""


def find_package(name: str) -> Path | None:
    """Folder of an installed package."""
    return next((folder / name for folder in _site_folders() if (folder / name).is_dir()), None)


def _site_folders() -> list[Path]:
    return [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]


class Environment:
    """A virtual environment that has every package of the running one, by links, but not topo_search.

    Args:
        path: folder to make it in.
    """

    def __init__(self, path: Path) -> None:
        venv.create(path, symlinks=True)
        self.path = path
        self.python = path / "bin" / "python"
        self.site = Path(sysconfig.get_path("purelib", "venv", {"base": str(path)}))
        for folder in _site_folders():
            for entry in folder.iterdir():
                # Path files are those of editable installs; ours would bring the module that is to be installed.
                own = entry.name.lstrip("_").startswith("topo_search") or entry.suffix == ".pth"
                if not own and not (self.site / entry.name).exists():
                    (self.site / entry.name).symlink_to(entry)

    def run(
        self, *arguments: object, cwd: Path = ROOT, timeout: float = 900, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python; ``variables`` are set beside those of the process."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TOPO_SEARCH_ENGINE", "PYTHONHOME")}
        done = subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd,
            env={**kept, "PATH": f"{self.path / 'bin'}{os.pathsep}{os.environ['PATH']}", **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, *arguments: object, source: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
        """Install the package from a source tree, in place of one that was installed before."""
        self.run("-m", "pip", "uninstall", "--yes", "topo_search")
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
        offline = ("--no-deps", "--no-index", "--no-build-isolation")
        return self.run("-m", "pip", "install", *quiet, *offline, *arguments, cwd=source, **variables)
