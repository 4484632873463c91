"""The mesa-layer, forward and backward: time, scaling, memory and accuracy, against three rivals.

    python benchmarks/mesa_layer.py [--strict] [--write]

    ours     icl_lib.layers.mesa.mesa_attention, the exact chunked form
    naive    naive_mesa_net_exact of flash-linear-attention 0.6.0 (fla-core), plain torch
    direct   all matrices H_t by a running sum, one batched torch.linalg.solve
    scan     icl_lib.layers.mesa.recursive_mesa, one Sherman-Morrison update a position

All compute the same outputs and, by backward, the gradients of queries, keys, values and lambda.
float32, one thread; median of five rounds in which the forms take turns, short calls repeated
within a turn; a call above two seconds is timed once. A form is left out ("-") where it would hold
more than a gigabyte or take more than eight seconds. Two threads are timed as well, if the
environment has OMP_WAIT_POLICY=PASSIVE as in the Makefile: threads that wait actively crawl as soon
as another process needs a core.

Operations are counted as this algorithm does them in chunks of C = 32 positions:
24 d^2 + 26 C d + C^2/3 a position, row and head for d_v = d, additions and multiplications.
"""

from __future__ import annotations

import os
import sys

import matplotlib
import torch
from _page import mesa_tables
from _rivals import GROWTH, direct, peak_bytes, rivals
from _timing import PLOTS, Bar, finish, machine, matmul_call, medians, options, rounded

from icl_lib.layers.mesa import CHUNK, mesa_attention

HEADS = 4
BATCHES, SIZES, LENGTHS = (1, 8), (20, 64), (64, 256, 1024, 4096)
MOST_BYTES, MOST_SECONDS = 1e9, 8.0
EPS = torch.finfo(torch.float32).eps


def flops(rows: int, length: int, size: int) -> float:
    """Return the operations of our forward and backward pass."""
    return rows * length * (24 * size**2 + 26 * CHUNK * size + CHUNK**2 / 3)


def inputs(batch: int, length: int, size: int, keys: str = "random"):
    """Return leaves (queries, keys, values, lambda) and an upstream gradient."""
    shape = (batch, HEADS, length, size)
    q, k, v, upstream = (torch.randn(shape) for _ in range(4))
    if keys == "nearly collinear":
        k = torch.randn(batch, HEADS, 1, size) + 1e-3 * k
    leaves = [q, k / size**0.5, v, torch.ones(HEADS)]
    return [leaf.requires_grad_() for leaf in leaves], upstream


def step(form, leaves, upstream):
    """Return a call that runs forward and backward once."""
    return lambda: torch.autograd.grad(form(*leaves), leaves, upstream)


def skip_reason(name: str, seconds: dict, batch: int, length: int, size: int) -> str | None:
    """Say why a rival is left out: memory, or the time expected from a quarter of the length."""
    if peak_bytes(name, batch * HEADS, length, size) > MOST_BYTES:
        return "memory"
    before = seconds.get((batch, length // 4, size), {}).get(name, 0.0 if length == 64 else None)
    if before is None or before * GROWTH[name] > MOST_SECONDS:
        return "time"
    return None


def measure_times(forms: dict) -> tuple[dict, dict]:
    """Return seconds and reasons for what is missing, keyed by (batch, length, size)."""
    seconds, skipped = {}, {}
    for size in SIZES:
        for batch in BATCHES:
            for length in LENGTHS:
                key = (batch, length, size)
                data = inputs(*key)
                reasons = {n: skip_reason(n, seconds, *key) for n in forms if n != "ours"}
                calls = {n: step(f, *data) for n, f in forms.items() if not reasons.get(n)}
                seconds[key] = medians(calls)
                skipped[key] = {name: why for name, why in reasons.items() if why}
    return seconds, skipped


def scaling(batch: int, size: int) -> float:
    """Return the cost of a position at T = 4096 over that at T = 256, timed in turn."""
    short, long = (step(mesa_attention, *inputs(batch, n, size)) for n in (256, 4096))
    times = medians({"short": lambda: [short() for _ in range(4)], "long": long})
    return times["long"] / 16 / (times["short"] / 4)


def over_matmul_time(batch: int, length: int, size: int) -> float:
    """Return our time over that which the 1024^2 product's rate allows, timed in turn."""
    product, product_flops = matmul_call()
    calls = {"ours": step(mesa_attention, *inputs(batch, length, size)), "product": product}
    times = medians(calls)
    allowed = flops(batch * HEADS, length, size) * times["product"] / product_flops
    return times["ours"] / allowed


def two_threads() -> dict:
    """Return our seconds with two threads, keyed as in :func:`measure_times`."""
    if os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE":
        return {}
    torch.set_num_threads(2)
    keys = [(b, n, d) for d in SIZES for b in BATCHES for n in LENGTHS]
    times = {
        key: medians({"ours": step(mesa_attention, *inputs(*key))}, rounds=3)["ours"]
        for key in keys
    }
    torch.set_num_threads(1)
    return times


def saved_numbers(batch: int, length: int, size: int) -> int:
    """Return how many float32 numbers autograd keeps for the backward pass, counted by hooks."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes() / 4
        return tensor

    leaves, _ = inputs(batch, length, size)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = mesa_attention(*leaves)
    del output
    return int(sum(kept.values()))


def relative(got, expected) -> float:
    """Return the norm of the deviation over the norm of ``expected``."""
    return float((got.double() - expected).norm() / expected.norm())


def errors(form, leaves, upstream, exact) -> tuple[float, float]:
    """Return the error of the outputs and the largest error of a gradient, against float64."""
    output = form(*leaves)
    grads = torch.autograd.grad(output, leaves, upstream)
    output_error, *others = (
        relative(*pair) for pair in zip((output.detach(), *grads), exact, strict=True)
    )
    return output_error, max(others)


def accuracy(keys: str, lam: float, size: int = 20, length: int = 256) -> dict:
    """Compare ours and the float32 direct solve with the direct solve in float64."""
    leaves, upstream = inputs(1, length, size, keys)
    leaves[3] = torch.full((HEADS,), lam, requires_grad=True)
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    output = direct(*wide)
    exact = (output.detach(), *torch.autograd.grad(output, wide, upstream.double()))
    k = wide[1].detach()
    gram = (k.unsqueeze(-1) * k.unsqueeze(-2)).cumsum(-3) + torch.eye(size) / lam
    row = {"keys": keys, "lambda": lam, "kappa": float(torch.linalg.cond(gram).max())}
    for name, form in (("ours", mesa_attention), ("direct", direct)):
        row[name], row[f"{name}_gradient"] = errors(form, leaves, upstream, exact)
    return {name: v if isinstance(v, str) else rounded(v) for name, v in row.items()}


def accuracy_bars(rows: list[dict]) -> list[Bar]:
    """Return the worst case of both accuracy bars; rounding of the result itself is no fault."""
    floor = 10 * EPS
    allowed, worse = [], []
    for row in rows:
        limit = max(1e-4, 10 * row["kappa"] * EPS)
        for kind in ("", "_gradient"):
            allowed.append(row[f"ours{kind}"] / limit)
            worse.append(row[f"ours{kind}"] / max(row[f"direct{kind}"], floor))
    return [
        Bar("relative error over max(1e-4, 10 kappa eps), worst case", max(allowed), "at most", 1),
        Bar("relative error over the float32 direct solve's, worst case", max(worse), "at most", 1),
    ]


def ratio(seconds: dict, key: tuple, rival: str) -> float:
    """Return how many times faster ours is; 0 where the rival was not timed."""
    return seconds[key].get(rival, 0.0) / seconds[key]["ours"]


def bars(seconds: dict, extra: dict, memory: list[dict], rows: list[dict]) -> list[Bar]:
    """Return all bars of this benchmark."""
    result = [
        Bar(f"naive over ours at (B, H) = ({b}, 4), T = {n}, d = {d}", value, "at least", 10)
        for b, n, d in ((8, 64, 20), (1, 256, 20), (8, 256, 20), (1, 256, 64), (8, 256, 64))
        if (value := ratio(seconds, (b, n, d), "naive"))
    ]
    for d in SIZES:
        for b, bound in ((1, 15), (8, 8)):
            value = ratio(seconds, (b, 1024, d), "scan")
            what = f"scan over ours at (B, H) = ({b}, 4), T = 1024, d = {d}"
            result.append(Bar(what, value, "at least", bound))
    for (b, d), value in extra["scaling"].items():
        what = f"cost a position, T = 4096 over T = 256, at (B, H) = ({b}, 4), d = {d}"
        result.append(Bar(what, value, "at most", 1.5 if b == 1 else 2.0))
    what = "ours over the time at the 1024^2 product's rate, (1, 4), T = 4096, d = 64"
    result.append(Bar(what, extra["over_matmul"], "at most", 6))
    share = max(row["numbers"] / row["bound"] for row in memory)
    result.append(Bar("kept numbers over 8 B H T d and one d x d a chunk", share, "at most", 1))
    return [*result, *accuracy_bars(rows)]


def memory_rows() -> list[dict]:
    """Return the kept numbers for three lengths with the bound."""
    rows = []
    for size in SIZES:
        for length in LENGTHS[1:]:
            bound = HEADS * (8 * length * size + length // CHUNK * size**2)
            numbers = saved_numbers(1, length, size)
            rows.append({"T": length, "d": size, "numbers": numbers, "bound": bound})
    return rows


def time_rows(seconds: dict, skipped: dict, double: dict, rate: float) -> list[dict]:
    """Return the table of times as plain data, milliseconds."""
    rows = []
    for (batch, length, size), times in seconds.items():
        key = (batch, length, size)
        share = flops(batch * HEADS, length, size) / times["ours"] / (1e9 * rate)
        rows.append(
            {"B": batch, "T": length, "d": size, "share": rounded(share)}
            | {name: rounded(1e3 * each) for name, each in times.items()}
            | {"two_threads": rounded(1e3 * double[key]) if key in double else None}
            | {"skipped": skipped[key]}
        )
    return rows


def plot(rows: list[dict]) -> None:
    """Draw time against T for every form, one panel for each batch and head size."""
    matplotlib.use("Agg")
    from icl_lib.teaching import plotting

    plotting.use_style()
    figure, axes = plotting.panels(4, height=3.0, width=12.0)
    panels = [(b, d) for d in SIZES for b in BATCHES]
    for ax, (batch, size) in zip(axes.flat, panels, strict=True):
        chosen = [row for row in rows if (row["B"], row["d"]) == (batch, size)]
        for name, dash in (("ours", "-o"), ("naive", "--s"), ("direct", ":^"), ("scan", "-.v")):
            known = [(row["T"], row[name]) for row in chosen if name in row]
            if known:
                ax.loglog(*zip(*known, strict=True), dash, label=name)
        ax.set(title=f"B = {batch}, H = 4, d = {size}", xlabel="T", ylabel="ms")
    axes.flat[0].legend()
    PLOTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOTS / "mesa_layer.svg")


def main() -> int:
    """Measure, print the tables and bars."""
    chosen, about = options(__doc__), machine()
    print(about, "\n24 d^2 + 26 C d + C^2/3 operations a position, row and head, C =", CHUNK)
    seconds, skipped = measure_times(rivals())
    extra = {
        "scaling": {(b, d): scaling(b, d) for d in SIZES for b in BATCHES},
        "over_matmul": over_matmul_time(1, 4096, 64),
    }
    rows = [
        accuracy(keys, lam)
        for keys in ("random", "nearly collinear")
        for lam in (1e-3, 1e-1, 1.0, 1e1, 1e3)
    ]
    memory = memory_rows()
    results = {
        "machine": about,
        "times": time_rows(seconds, skipped, two_threads(), about["matmul_gflops"]),
        "memory": memory,
        "accuracy": rows,
    }
    print("\n\n".join(["", *mesa_tables(results).values()]))
    plot(results["times"])
    return finish("mesa_layer", results, bars(seconds, extra, memory, rows), chosen)


if __name__ == "__main__":
    sys.exit(main())
