"""The runtime stays lean: the modules that importing it loads, and the packages that its source names."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import runtime

FOLDER = Path(runtime.__file__).parent
HEAVY = ("torch", "transformers", "optimum", "pandas", "sklearn", "datasets", "onnx", "onnxscript", "scipy")
SERVICE = {"msgspec", "prometheus_client", "starlette", "structlog", "uvicorn", "uvloop"}
EXTRAS = {"files/arrow_storage.py": {"pyarrow"}, "files/parquet.py": {"pyarrow"}, "cluster/ray_job.py": {"ray"}}
LAZY = {"files/inputs.py": {"pyarrow"}, "jobs/row_scorer.py": {"pyarrow"}}  # in a function
FILES = [
    path
    for path in FOLDER.rglob("*.py")
    if "serve" not in path.relative_to(FOLDER).parts and path.relative_to(FOLDER).as_posix() not in EXTRAS
]
MODULES = sorted(
    ".".join(("runtime", *path.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__") for path in FILES
)


def test_import_loads_nothing_heavy() -> None:
    """Importing every module of the runtime but the service's loads no package of training, export or the service."""
    code = (
        f"import importlib, sys\nfor name in {MODULES}: importlib.import_module(name)\n"
        f"print([name for name in {(*HEAVY, *SERVICE, 'pyarrow', 'ray')} if name in sys.modules])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy, packages = printed.splitlines()
    assert heavy == "[]"
    for package in ("numpy", "tokenizers", "onnxruntime", "runtime"):
        assert package in packages


def test_source_imports_only_allowed_packages() -> None:
    """No module imports another package, not even inside a function; the service may import its extra's."""
    packages = {name for path in FILES for name in _packages(path)}
    assert packages - sys.stdlib_module_names == {"numpy", "onnxruntime", "tokenizers", "pyarrow"}
    for name, allowed in (EXTRAS | LAZY).items():
        assert {*_packages(FOLDER / name)} - sys.stdlib_module_names - {"numpy"} == allowed
    assert {path for path in FILES if "pyarrow" in _packages(path)} == {FOLDER / name for name in LAZY}
    packages = {name for path in (FOLDER / "serve").rglob("*.py") for name in _packages(path)}
    assert packages - sys.stdlib_module_names == SERVICE | {"numpy"}


def test_subfolders_are_checked() -> None:
    """The import checks include the modules in subfolders."""
    assert {"runtime", "runtime.classifier", "runtime.engine.session", "runtime.files.lines"} < {*MODULES}


def test_only_one_module_imports_onnxruntime() -> None:
    """Only one module imports onnxruntime, after it turned telemetry off."""
    importing = [path.name for path in FOLDER.rglob("*.py") if "onnxruntime" in _packages(path)]
    assert importing == ["ort.py"]


def _packages(path: Path) -> Iterator[str]:
    """Yields the packages that a module imports absolutely."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
