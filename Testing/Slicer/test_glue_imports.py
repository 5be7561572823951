"""What Slicer's process loads with the glue, and what only the worker does."""

import os
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SLOW = {"torch", "safetensors", "lightning_fabric", "pydicom", "typer", "rich", "matplotlib"}


def test_no_module_of_the_glue_loads_what_slicer_may_lack(module_tree):
    """In a process of its own: other tests of this session may have loaded torch."""
    names = sorted(path.stem for path in (module_tree / "lungsynth_slicer").glob("*.py"))
    assert {"worker", "seeds", "segments", "dependencies"} <= set(names)
    code = (
        "import importlib, sys, types\n"
        "import qt, slicer\n"
        "slicer.packaging = sys.modules['slicer.packaging'] = types.ModuleType('packaging')\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(f'lungsynth_slicer.{name}')\n"
        "import lungsynth\n"
        "print(lungsynth.__file__)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    paths = [str(module_tree), str(PROJECT / "Testing" / "Slicer" / "standins")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "QT_QPA_PLATFORM": "offscreen",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    library, loaded = done.stdout.splitlines()[-2:]

    assert Path(library).is_relative_to(module_tree)
    assert SLOW.isdisjoint(loaded.split())


def test_no_part_of_the_library_that_the_panel_loads_does_either(module_tree):
    """What stands at file scope is loaded as Slicer starts, before anything can be installed."""
    files = [*module_tree.glob("NoduleSynthLib/*.py"), *module_tree.glob("lungsynth_slicer/*.py")]
    pattern = re.compile(r"^from (lungsynth(?:\.\w+)*) import", re.MULTILINE)
    names = sorted({name for file in files for name in pattern.findall(file.read_text("utf-8"))})
    assert {"lungsynth.cli.protocol", "lungsynth.io.plausible_radiograph"} <= set(names)
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(module_tree)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert SLOW.isdisjoint(done.stdout.split())
