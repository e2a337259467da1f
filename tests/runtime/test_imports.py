"""The runtime stays lean: what `import runtime` loads."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "optimum", "pandas", "sklearn", "datasets", "onnx", "onnxscript", "scipy")


def test_import_loads_nothing_heavy() -> None:
    """A fresh interpreter that imports every module of the runtime has none of the training or export packages."""
    code = (
        "import sys, runtime, runtime.predict\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy, packages = printed.splitlines()
    assert heavy == "[]"
    for package in ("numpy", "tokenizers", "onnxruntime", "runtime"):
        assert package in packages


def test_source_imports_only_what_it_may() -> None:
    """No module of the runtime mentions another package, not even in a function."""
    code = (
        "import ast, pathlib, runtime, sys\n"
        "names = set()\n"
        "for path in pathlib.Path(runtime.__file__).parent.glob('*.py'):\n"
        "    for node in ast.walk(ast.parse(path.read_text())):\n"
        "        if isinstance(node, ast.Import): names |= {alias.name.partition('.')[0] for alias in node.names}\n"
        "        if isinstance(node, ast.ImportFrom) and not node.level: names.add(node.module.partition('.')[0])\n"
        "print(*sorted(names - set(sys.stdlib_module_names)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["numpy", "onnxruntime", "tokenizers"]
