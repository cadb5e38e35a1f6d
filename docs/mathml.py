"""Formulas as MathML by docutils' own converter: every browser of today shows it, and nothing is fetched."""

from docutils.utils.math import latex2mathml


def _inline(self, node) -> None:
    _write(self, node)


def _block(self, node) -> None:
    self.body.append('<div class="math-block">')
    _write(self, node, as_block=True)
    self.body.append("</div>\n")


def _write(self, node, as_block: bool = False) -> None:
    from docutils import nodes

    self.body.append(latex2mathml.tex2mathml(node.astext(), as_block=as_block))
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("config-inited", lambda app, config: setattr(config, "html_math_renderer", "mathml"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
