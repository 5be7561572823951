"""What the Extension Manager would lay on a user's disk, from the build files that ship."""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MODULE, SCAN_MODULE = PROJECT / "NoduleSynth", PROJECT / "AnomalyScan"
PACKAGES = ("NoduleSynthLib", "lungsynth_slicer", "lungsynth")
sys.path.insert(0, str(PROJECT / "Testing" / "cmake"))
from install_tree import install_tree  # noqa: E402 - Testing is no package on purpose


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The qt-scripted-modules folder, as CMake installs it."""
    return install_tree(tmp_path_factory.mktemp("install"))


@pytest.fixture
def copied(tmp_path):
    """A copy of what CMake reads, to be broken."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.safetensors", "lungsynth*")
    for module in (MODULE, SCAN_MODULE):
        shutil.copytree(module, source / module.name, ignore=ignored)
    return source


def shipped():
    """Every file that has to be there: where it is in the source, by where it is installed."""
    scripts = [MODULE / "NoduleSynth.py"]
    scripts += [path for name in PACKAGES for path in (MODULE / name).rglob("*.py")]
    scripts += [MODULE / "lungsynth" / "py.typed"]
    resources = [path for path in (MODULE / "Resources").rglob("*") if path.is_file()]
    scan = [SCAN_MODULE / "AnomalyScan.py", *(SCAN_MODULE / "AnomalyScanLib").rglob("*.py")]
    scan += [path for path in (SCAN_MODULE / "Resources").rglob("*") if path.is_file()]
    files = {path.relative_to(MODULE): path for path in (*scripts, *resources)}
    return files | {path.relative_to(SCAN_MODULE): path for path in scan}


def test_the_installed_tree_holds_every_file_unchanged_and_no_other(installed):
    found = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}

    assert len(found) > 90
    sources = shipped()
    assert found == set(sources)
    assert {
        name
        for name in found
        if hashlib.sha256((installed / name).read_bytes()).digest()
        != hashlib.sha256(sources[name].read_bytes()).digest()
    } == set()


def test_nothing_of_the_tests_or_the_build_is_installed(installed):
    root = installed.parents[2]
    everything = [path.relative_to(root) for path in root.rglob("*")]

    parts = {part for path in everything for part in path.parts}
    assert parts & {"Testing", "conftest.py", "__pycache__", "CMakeLists.txt"} == set()


def test_weights_and_their_card_are_installed(installed):
    weights = installed / "Resources" / "Weights" / "mcgan.safetensors"
    card = weights.with_suffix(".md").read_text(encoding="utf-8")

    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card


def test_files_that_other_extensions_may_ship_too_carry_this_ones_name(installed):
    """A Resources/requirements.txt of two modules would overwrite one another."""
    own = re.compile(r"NoduleSynth|AnomalyScan|lungsynth|Weights")
    resources = [path.relative_to(installed) for path in (installed / "Resources").rglob("*.*")]

    assert len(resources) >= 5
    assert [str(path) for path in resources if not own.search(str(path))] == []


def test_the_library_inserts_a_nodule_from_the_installed_tree(installed, tmp_path):
    """In a process that sees the installed tree and not the source, its weights included."""
    program = (
        "import numpy as np, lungsynth; from lungsynth.core.nodule import NoduleSpec, Seed;"
        "from lungsynth.imaging.insertion import insert;"
        "from lungsynth.imaging.phantom import SMALL, thorax_phantom;"
        "from lungsynth.synthesizers import load_synthesizer;"
        "ct = thorax_phantom(**SMALL);"
        "seed = Seed((75.0, 20.0, -20.0), NoduleSpec(14.0, latent_seed=3));"
        "model = load_synthesizer('mcgan', device='cpu');"
        "result = insert(ct, [seed], model); after, (nodule,) = result.volume, result.insertions;"
        "changed = np.argwhere(after.voxels != ct.voxels);"
        "(k0, j0, i0), (k1, j1, i1) = nodule.box;"
        "assert (changed >= (k0, j0, i0)).all() and (changed < (k1, j1, i1)).all();"
        "print(lungsynth.__file__, len(changed), nodule.measured.diameter_mm)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    origin, changed, diameter_mm = done.stdout.rsplit(maxsplit=2)
    assert Path(origin) == installed / "lungsynth" / "__init__.py"
    assert int(changed) > 50
    assert float(diameter_mm) == pytest.approx(14, abs=1.5)


def test_two_modules_that_ship_the_same_path_are_refused(copied, tmp_path):
    second = copied / "Second"
    (second / "Resources").mkdir(parents=True)
    (second / "Second.py").write_text("")
    (second / "Resources" / "NoduleSynth-requirements.txt").write_text("")
    (second / "CMakeLists.txt").write_text(
        "slicerMacroBuildScriptedModule(NAME Second SCRIPTS Second.py "
        "RESOURCES Resources/NoduleSynth-requirements.txt)"
    )
    lists = copied / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("## NEXT_MODULE", "add_subdirectory(Second)"))

    with pytest.raises(RuntimeError, match=r"both ship\s+Resources/NoduleSynth-requirements"):
        install_tree(tmp_path / "out", copied)


@pytest.mark.parametrize("name", ["README.md", "LICENSE"])
def test_slicers_own_readme_and_licence_are_not_packed_by_mistake(copied, tmp_path, name):
    (copied / name).unlink()

    with pytest.raises(RuntimeError, match=rf"names no file:\s+'[^']*{name}'"):
        install_tree(tmp_path / "out", copied)


def test_a_new_file_is_installed_without_being_listed(copied, tmp_path):
    new = copied / "NoduleSynth" / "lungsynth" / "deep" / "er"
    new.mkdir(parents=True)
    (new / "added.py").write_text("ADDED = 1\n")

    tree = install_tree(tmp_path / "out", copied)
    assert (tree / "lungsynth" / "deep" / "er" / "added.py").read_text() == "ADDED = 1\n"


def cmake_variables():
    text = (PROJECT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]+)"\)$', text, re.MULTILINE)), text


def test_the_index_entry_is_valid_and_agrees_with_cmake():
    """Keys and values of the catalog's schema 1.0.1, and what the index's robot compares."""
    path = PROJECT / "Resources" / "ExtensionsIndex" / "NoduleSynth.json"
    entry = json.loads(path.read_text(encoding="utf-8"))
    variables, text = cmake_variables()

    assert b"\r" not in path.read_bytes()
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert set(entry) <= {
        *("$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"),
        *("build_subdirectory", "enabled", "tier"),
    }
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["tier"] in {1, 3, 5}
    assert entry["build_dependencies"] == variables["DEPENDS"].split() == ["PyTorch"]
    assert entry["category"] == variables["CATEGORY"]
    assert re.findall(r"project\s*\(\s*([^\s)]+)", text)[0] == path.stem == "NoduleSynth"
    assert entry["scm_url"] == variables["HOMEPAGE"]
    assert entry["scm_url"].rsplit("/", 1)[1] == "SlicerNoduleSynth"


def test_icon_and_screenshots_are_pictures_that_ship():
    variables, _ = cmake_variables()
    owner = variables["HOMEPAGE"].removeprefix("https://github.com/")
    raw = f"https://raw.githubusercontent.com/{owner}/main/"
    urls = [variables["ICONURL"], *variables["SCREENSHOTURLS"].split()]

    assert len(urls) >= 2
    for url in urls:
        assert url.startswith(raw)
        picture = PROJECT / url.removeprefix(raw)
        starts = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff"}[picture.suffix]
        assert picture.read_bytes().startswith(starts), url
        assert picture.stat().st_size < 150_000, url


@pytest.mark.parametrize("name", ["NoduleSynth-requirements", "NoduleSynth-training-requirements"])
def test_requirements_are_bounded_from_below_alone_and_leave_torch_to_its_extension(name):
    text = (MODULE / "Resources" / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    declared = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w-]+>=[\d.]+", line)] == []
    assert [line for line in lines if line.startswith("torch")] == []
    assert [line for line in lines if f'"{line}"' not in declared] == []  # the library's own bounds


def imported_at_file_scope(tree):
    """Names of the packages that importing a file imports: all but what functions import."""
    found = set()
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))
    return found


ALLOWED = {
    *sys.stdlib_module_names,
    *("slicer", "vtk", "qt", "ctk", "SimpleITK", "numpy", "scipy"),
    *("MRMLCorePython", "NoduleSynthLib", "AnomalyScanLib", "lungsynth_slicer", "lungsynth"),
}


@pytest.mark.parametrize(
    "source", ["if 1:\n import torch", "class A:\n import torch", "import torch as t"]
)
def test_the_check_below_sees_an_import_inside_a_class_or_a_condition(source):
    assert imported_at_file_scope(ast.parse(source)) == {"torch"}
    assert imported_at_file_scope(ast.parse("def f():\n import torch")) == set()


def test_slicers_side_imports_nothing_at_file_scope_that_slicer_lacks():
    """An extension whose import fails does not load, and a reviewer of the index looks for it."""
    files = [MODULE / "NoduleSynth.py", SCAN_MODULE / "AnomalyScan.py"]
    files += [path for name in PACKAGES[:2] for path in (MODULE / name).rglob("*.py")]
    files += (SCAN_MODULE / "AnomalyScanLib").rglob("*.py")
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}

    assert len(files) >= 3
    foreign = {str(path): imported_at_file_scope(tree) - ALLOWED for path, tree in trees.items()}
    assert {path: names for path, names in foreign.items() if names} == {}


def test_importing_slicers_side_of_the_library_loads_neither_torch_nor_pydicom(installed, tmp_path):
    """What the glue imports of the library, it imports for good: follow it in a real process."""
    files = [installed / "NoduleSynth.py", installed / "AnomalyScan.py"]
    slicers = (*PACKAGES[:2], "AnomalyScanLib")
    files += [path for name in slicers for path in (installed / name).rglob("*.py")]
    wanted = set()
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lungsynth."):
                wanted.add(node.module)
            elif isinstance(node, ast.Import):
                wanted |= {a.name for a in node.names if a.name.startswith("lungsynth.")}
    program = (
        "import importlib, sys\n"
        f"for name in {sorted(wanted)!r}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'pydicom', 'typer', 'rich', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert wanted
    assert done.stdout.strip() == "[]"
