"""``python -m docs.run``: every block and every figure of the guide, and of the README.

By itself it runs all pages, the slow blocks too, and ends with 1 if anything differs from what the pages show. Pages
can be named (``docs/learn/affine.md``). ``--fast`` is what CI runs; ``--write`` puts what blocks print and what figures
show in place of what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .blocks import blocks
from .drawing import differences
from .execute import FIGURES, PAGES, Outcome, page_name, run_page

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.run", description="Run the blocks and figures of the guide.")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="Markdown files (default: all)")
    parser.add_argument("--fast", action="store_true", help="leave out the slow blocks, as CI does")
    parser.add_argument("--write", action="store_true", help="write what is printed and drawn into the pages")
    args = parser.parse_args(argv)
    pages = [Path(page).resolve() for page in args.pages] or list(PAGES)
    wrong = 0
    for path in pages:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_page(path, Path(folder), slow=not args.fast, say=lambda at: print(f"  {at}", file=sys.stderr))
        if args.write:
            _write(path, outcome)
        else:
            outcome.wrong += [why for name in outcome.drawings for why in figure_differences(name, outcome)]
            wrong += len(outcome.wrong)
            print(*outcome.wrong, sep="\n\n", end="\n" if outcome.wrong else "")
        not_run = sum(bool(block.not_run) for block in blocks(path.read_text(encoding="utf-8")))
        print(f"{page_name(path)}: {outcome.run} blocks run, {outcome.left_out} left out, {not_run} not to be run, "
              f"{len(outcome.drawings)} figures, {time.perf_counter() - start:.1f} s")  # fmt: skip
    return int(wrong > 0)


def figure_differences(name: str, outcome: Outcome) -> list[str]:
    """What the kept numbers of a figure say that the page no longer does."""
    path = FIGURES / f"{name}.json"
    if not path.exists() or not path.with_suffix(".svg").exists():
        return [f"figure {name}: not drawn yet; python -m docs.run --write draws it"]
    kept = json.loads(path.read_text(encoding="utf-8"))
    found = differences(kept, outcome.drawings[name].to_dict(), outcome.within[name])
    return [f"figure {name}: {why}" for why in found]


def _write(path: Path, outcome: Outcome) -> None:
    text = path.read_text(encoding="utf-8")
    for block, printed in reversed(outcome.printed):
        if block.shown is not None and "..." not in block.shown:
            start, end = block.span
            plain = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"
            text = text[:start] + plain + text[end:]
    path.write_text(text, encoding="utf-8")
    for name, drawing in outcome.drawings.items():
        from .picture import to_svg

        content = json.dumps(drawing.to_dict(), ensure_ascii=False)
        (FIGURES / f"{name}.json").write_text(content + "\n", encoding="utf-8")
        (FIGURES / f"{name}.svg").write_text(to_svg(drawing, name), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
