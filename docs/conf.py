"""Sphinx: furo, myst-nb; pages by hand, and what is generated before a build into folders that git ignores."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

# first, so that gelens is that of this clone, whatever is installed
import analysis  # isort: skip  # noqa: E402, F401
import gallery  # noqa: E402
import pages  # noqa: E402

import gelens  # noqa: E402

project = "gelens"
author = "the authors of gelens"
project_copyright = author
version = release = gelens.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = "gelens"
html_static_path = ["static"]
html_css_files = ["gelens.css"]
html_show_sphinx = False
html_copy_source = False

nb_execution_mode = "off"
# what notebooks stored is shown; scripts of their widgets would come from the network
nb_ipywidgets_js = {}

myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 3
# pages of studies name files of the repository that are no pages; links of our own pages have a test
suppress_warnings = ["myst.xref_missing"]

# docstrings are plain text with names in single backticks
default_role = "literal"
# --option is two hyphens
smartquotes = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_numpy_docstring = False
# "A row for each unit: its columns" is a sentence, not a type
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 100


def _generate(app) -> None:
    pages.write_commands(HERE / "reference" / "commands")
    pages.write_names(HERE / "reference" / "python.md")
    pages.write_tables(HERE / "reference" / "tables.md")
    pages.draw_operators(HERE / "static" / "generated")
    gallery.write_gallery(HERE / "gallery" / "index.md")
    notebooks = HERE / "notebooks"
    shutil.rmtree(notebooks, ignore_errors=True)
    notebooks.mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(path, notebooks)


def _plain(app, what, name, obj, options, lines) -> None:
    """In a docstring a bar is a bar: mean of |branch|."""
    lines[:] = [line.replace("|", "\\|") if "`" not in line else line for line in lines]


def setup(app) -> None:
    app.connect("builder-inited", _generate)
    app.connect("autodoc-process-docstring", _plain)
