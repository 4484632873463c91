"""The tables of the page "How fast, and why", made from results.json."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "book" / "reference" / "speed.md"
RIVALS = ("naive", "direct", "scan")


def table(headers: list[str], rows: list[list]) -> str:
    """Return a markdown table; the first column is text, the others are numbers."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value: float) -> str:
    """Return three significant digits without an exponent."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def power(value: float) -> str:
    """Return two digits with an exponent."""
    return f"{value:.1e}"


def mesa_tables(results: dict) -> dict[str, str]:
    """Return the tables of the mesa-layer's benchmark by name."""
    return {
        "mesa-times": _times(results["times"]),
        "mesa-accuracy": _accuracy(results["accuracy"]),
    }


def _times(rows: list[dict]) -> str:
    def rival(row, name):
        if name in row:
            return f"{number(row[name])} ({number(row[name] / row['ours'])})"
        return f"- {row['skipped'][name]}" if name in row["skipped"] else "-"

    return table(
        ["B, d, T", "ours", *RIVALS, "ours, two threads", "share of the product's rate"],
        [
            [
                f"{row['B']}, {row['d']}, {row['T']}",
                number(row["ours"]),
                *(rival(row, name) for name in RIVALS),
                number(row["two_threads"]) if row["two_threads"] else "-",
                f"{100 * row['share']:.0f} %",
            ]
            for row in rows
        ],
    )


def _accuracy(rows: list[dict]) -> str:
    names = ("kappa", "ours", "direct", "ours_gradient", "direct_gradient")
    return table(
        ["keys, lambda", "condition", "ours", "direct", "ours, gradients", "direct, gradients"],
        [[f"{r['keys']}, {r['lambda']:g}", *(power(r[name]) for name in names)] for r in rows],
    )


def training_tables(results: dict) -> dict[str, str]:
    """Return the tables of the training step's benchmark by name."""
    return {
        "training-steps": table(
            ["model, key size, batch", "ms a step", "share of the product's rate", "data"],
            [
                [
                    f"{row['model']}, {row['key_size']}, {row['batch']}",
                    number(row["step"]),
                    f"{100 * row['share']:.0f} %" if row["share"] else "-",
                    f"{100 * row['data']:.0f} %",
                ]
                for row in results["steps"]
            ],
        ),
        "compressed": table(
            ["key size", "full model, ms", "RevAlg-d, ms", "full over RevAlg-d"],
            [
                [r["key_size"], number(r["full"]), number(r["compressed"]), number(r["ratio"])]
                for r in results["compressed"]
            ],
        ),
    }


def bar_table(*benchmarks: dict) -> str:
    """Return the table of bars."""
    return table(
        ["bar", "measured", "bound", "kept"],
        [
            [
                bar["what"],
                f"{bar['value']:.4g}",
                f"{bar['kind']} {bar['bound']:g}",
                "yes" if bar["passed"] else "no",
            ]
            for results in benchmarks
            for bar in results["bars"]
        ],
    )


def machine_words(machine: dict) -> str:
    """Return a sentence about the machine."""
    return (
        f"{machine['processor']}, {machine['cores']} virtual cores, torch {machine['torch']}, "
        f"{number(machine['matmul_gflops'])} billion operations a second in a product of two "
        f"1024 x 1024 matrices in float32, load average {number(machine['load'] or 0)}."
    )


def tables(everything: dict) -> dict[str, str]:
    """Return every table of the page by name, as far as it has been measured."""
    made, known = {}, [n for n in ("mesa_layer", "training_step") if n in everything]
    makers = {"mesa_layer": mesa_tables, "training_step": training_tables}
    for name in known:
        made |= makers[name](everything[name])
        made[f"{name}-machine"] = machine_words(everything[name]["machine"])
    if known:
        made["bars"] = bar_table(*(everything[name] for name in known))
    return made


def filled(text: str, everything: dict) -> str:
    """Return the page's text with everything between the marks of a table replaced."""
    for name, content in tables(everything).items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"the page has no place for {name!r}: {begin} ... {end} is missing")
        text = pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)  # noqa: B023
    return text


def write_page(everything: dict) -> None:
    """Write the tables into the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), everything), encoding="utf-8")
