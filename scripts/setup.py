"""Makes `.venv` hold exactly what requirements.lock says; `--uv` only fetches uv, for `make lock`.

Run by the Makefile with any Python from 3.11 on; uses the standard library only. It takes uv from PATH if it is new enough,
or fetches a pinned one into `.uv`; where uv cannot install, pip does, from the same file with the same hashes. Invariant: one
set-up at a time, and none when `.venv` already has what the lock says.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".setup-done"
LOCK = ROOT / "requirements.lock"
UV_HOME = ROOT / ".uv"
UV_PIN = ROOT / "scripts" / "uv-requirements.txt"
UV_AT_LEAST = (0, 13)  # as [tool.uv] in pyproject.toml
ENVIRONMENT = {"UV_SYSTEM_CERTS": "1"} | os.environ | {"UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": str(VENV)}


class Failed(Exception):
    """A step failed; the message says what to do."""


def main() -> int:
    UV_HOME.mkdir(exist_ok=True)
    with (UV_HOME / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if "--uv" in sys.argv:
                if uv_on_path() is None:
                    fetch_uv()
            else:
                set_up()
        except Failed as failure:
            sys.stderr.write(f"make setup: {failure}\n")
            return 1
    return 0


def set_up() -> None:
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if works(PYTHON) and STAMP.exists() and STAMP.read_text() == wanted:
        STAMP.touch()  # make compares times, and the lock file may be younger without having changed
        return
    say(f"Setting up .venv with Python {sys.version.split()[0]} and the dependencies in requirements.lock")
    if not works(PYTHON):
        remove_broken_venv()
    STAMP.unlink(missing_ok=True)
    problems = []
    uv = None if pip_has_its_own_index() else uv_on_path()
    if uv is None and not pip_has_its_own_index():
        try:
            uv = fetch_uv()
        except Failed as failure:
            problems.append(str(failure))
    if uv and not (problem := install_with_uv(uv)):
        STAMP.write_text(wanted)
        return
    if uv:
        problems.append(problem)
        say("uv could not install them (it does not read pip's configuration); trying pip, which takes longer")
    if problem := install_with_pip():
        problems.append(problem)
        raise Failed("\n".join(["the dependencies could not be installed.", *problems]))
    STAMP.write_text(wanted)


def install_with_uv(uv: str) -> str:
    """Return what went wrong, or nothing."""
    if not PYTHON.exists() and (problem := run(uv, "venv", "--quiet", "--python", sys.executable, str(VENV))):
        return problem
    return run(uv, "pip", "sync", "--quiet", "--python", str(PYTHON), "--require-hashes", str(LOCK))


def install_with_pip() -> str:
    """Return what went wrong, or nothing."""
    if not PYTHON.exists():
        make_venv(VENV)
    elif run(str(PYTHON), "-m", "pip", "--version") and (problem := run(str(PYTHON), "-m", "ensurepip")):
        return problem  # a virtual env made by uv has no pip
    return run(str(PYTHON), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK))


def fetch_uv() -> str:
    uv = UV_HOME / "bin" / "uv"
    if version_of(str(uv)) is None:
        say("Fetching uv, which installs the dependencies several times faster than pip")
        make_venv(UV_HOME)
        command = ("-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", str(UV_PIN))
        if problem := run(str(UV_HOME / "bin" / "python"), *command):
            raise Failed(f"uv could not be fetched.\n{problem}")
    return str(uv)


def make_venv(folder: Path) -> None:
    is_new = not folder.exists()
    if problem := run(sys.executable, "-m", "venv", str(folder)):
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)  # half an environment would be taken for a whole one
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise Failed(
            f"{sys.executable} cannot make a virtual environment; its venv or ensurepip module is missing.\n"
            f"  On Debian and Ubuntu: sudo apt install python{version}-venv\n"
            f"  Or install uv, or name another interpreter: make setup PYTHON=/path/to/python3.11\n{problem}"
        )


def remove_broken_venv() -> None:
    if (VENV / "pyvenv.cfg").exists():  # never removes a folder that is something else
        shutil.rmtree(VENV)


def uv_on_path() -> str | None:
    uv = shutil.which("uv")
    version = version_of(uv) if uv else None
    return uv if version and version >= UV_AT_LEAST else None


def version_of(uv: str) -> tuple[int, int] | None:
    try:
        text = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def pip_has_its_own_index() -> bool:
    """Whether the user told pip, and not uv, where packages come from: then they must not come from elsewhere."""
    if any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")):
        return False
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    return re.search(r"\.(index-url|no-index)=", listed.stdout) is not None


def works(python: Path) -> bool:
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def run(*command: str) -> str:
    """Return the end of what a command that failed has said; nothing if it succeeded."""
    try:
        done = subprocess.run(  # noqa: S603  # only what stands in this file is run
            command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stdout.strip().splitlines()[-12:] or [f"{command[0]} ended with code {done.returncode}"]
    return "\n".join(f"    {line}" for line in lines)


def say(text: str) -> None:
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
