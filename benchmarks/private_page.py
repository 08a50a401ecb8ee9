"""The section on private training of the page of results."""

from __future__ import annotations

from typing import Any

from tables import table


def private_training(results: list[dict[str, Any]]) -> str:
    """Membership attacked, plain and private, and what privacy costs."""
    (r,) = results
    head = ["training", "steps", "AUC", "found at 1 % false alarms", "error, trained on"]
    head += ["error, new", "planted image", "the same, never seen", "CPU s"]
    pictures = [
        f"![{row['name']}](results/private-{row['name']}.png) "
        f"![{row['name']}, samples](results/private-{row['name']}-samples.png)"
        for row in r["rows"]
    ]
    said = PRIVATE.format(n=r["n"], others=r["others"], delta=r["rows"][-1].get("delta", 0))
    return "\n\n".join(
        ["## Private training", said, table(head, [row_of(row) for row in r["rows"]]), *pictures]
    )


PRIVATE = """`vae-mlp` on {n:,} digits of MNIST: plain, trained far too long, and private at
δ = {delta:.1g}. Attacked by reconstruction, calibrated by a reference that was trained alike on as
many other digits; {others:,} new digits are the others. In brackets 95 % intervals. Errors are mean
squared, on [−1, 1]. The planted image, a chequerboard, is one of those trained on; beside it, its
error in the reference, which never saw it. One seed. An AUC near ½ says that this attack finds
nothing, and no more; the bound on every attack is ε's."""


def row_of(row: dict[str, Any]) -> list[str]:
    private = "epsilon" in row
    return [
        f"private, ε = {row['epsilon']:.2g}" if private else "plain, over-trained",
        str(row["steps"]),
        interval(row["auc"]),
        interval(row["detected"]),
        *(f"{row[name]:.4f}" for name in ("error_members", "error_new")),
        *(f"{row[name]:.3f}" for name in ("planted", "planted_unseen")),
        f"{row['cpu_seconds']:.0f}",
    ]


def interval(measure: dict[str, Any]) -> str:
    return f"{measure['value']:.3f} ({measure['low']:.3f}–{measure['high']:.3f})"
