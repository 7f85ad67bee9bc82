"""Wheels made by hand, and lock files of them, for pip to install without an index."""

import hashlib
import zipfile
from pathlib import Path

ANY = "py3-none-any"


def write_wheel(folder: Path, name: str, tag: str = ANY) -> str:
    """Write version 1 of a distribution with one module and a script; the line that locks it."""
    info = f"{name}-1.dist-info"
    files = {
        f"{name}.py": f"TAG = {tag!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-1-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(zipfile.ZipInfo(file), text)  # without the time: always the same file
    return f"{name}==1 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
