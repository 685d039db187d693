"""The evaluation's numbers as a report: Markdown tables beside the bars they are held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Row = dict[str, Any]


def table(rows: list[Row], columns: list[str] | None = None) -> list[str]:
    """Rows as a Markdown table."""
    if not rows:
        return ["(nothing measured)"]
    names = columns or list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    return lines + ["| " + " | ".join(_shown(row.get(name, "")) for name in names) + " |" for row in rows]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def verdict(reached: bool) -> str:
    """Whether a bar is reached, in words."""
    return "reached" if reached else "NOT reached"


def _limits(rows: list[Row], images: str) -> list[Row]:
    """1 - J over SNR in tissue, flat and structured regions, NEX 1."""
    found: dict[float, Row] = {}
    for row in rows:
        if row["factor"] == 1 and row["nex"] == 1 and row["images"] == images:
            entry = found.setdefault(row["snr"], {"snr": row["snr"]})
            entry[row["region"]] = round(1 - row["left"], 3)
    return list(found.values())


def _peer(rows: list[Row], noise: float, method: str) -> Row:
    return next(row for row in rows if row["noise"] == noise and row["method"] == method)


def summary(numbers: dict[str, Any]) -> list[str]:
    """One line a bar: the figure, and whether it is reached."""
    lines: list[str] = []
    if numbers.get("residual"):
        cases = numbers["residual_verdict"]
        lines.append(
            f"noise left within 0.03 of 1 - f where the limit allows: {cases['within_0.03']} of "
            f"{cases['within_limit']} cases, largest miss {cases['largest_miss']}: "
            + verdict(cases["within_0.03"] == cases["within_limit"])
        )
        for images in ("real", "simulated"):
            limits = {row["snr"]: row["tissue"] for row in _limits(numbers["residual"], images)}
            if limits:
                told = ", ".join(f"SNR {snr}: {value:.2f}" for snr, value in limits.items())
                aim = all(value >= 0.75 for snr, value in limits.items() if snr <= 15) and limits.get(25, 1) >= 0.65
                lines.append(
                    f"limit 1 - J in tissue, {images} ({told}); aim 0.75 to SNR 15, 0.65 at 25: {verdict(aim)}"
                )
    if numbers.get("peers"):
        rows = numbers["peers"]["rows"]
        for noise in sorted({row["noise"] for row in rows}):
            ours, bm3d = _peer(rows, noise, "this network"), _peer(rows, noise, "BM3D")
            ahead = ours["psnr"] - bm3d["psnr"]
            others = min(ours["psnr"] - _peer(rows, noise, name)["psnr"] for name in ("non-local means", "wavelet"))
            similar = all(ours["ssim"] > row["ssim"] for row in rows if row["noise"] == noise and row is not ours)
            part = ours["cpu_seconds_a_slice"] / max(bm3d["cpu_seconds_a_slice"], 1e-9)
            lines.append(
                f"{100 * noise:.0f} % noise: PSNR {ahead:+.2f} dB over BM3D (bar 0.5: {verdict(ahead >= 0.5)}), "
                f"{others:+.2f} dB over NLM and wavelet (bar 2: {verdict(others >= 2)}), SSIM above all: "
                f"{verdict(similar)}, {part:.2f} of BM3D's time (bar 0.1: {verdict(part <= 0.1)})"
            )
    if numbers.get("bias"):
        worst = numbers["bias"]["rms_percent"]
        lines.append(
            f"bias of 24 x 24 blocks: rms {worst} %, largest {numbers['bias']['largest_percent']} % (bar 1): "
            + verdict(numbers["bias"]["largest_percent"] <= 1)
        )
    if numbers.get("thin_lines"):
        kept = {row["noise"]: row["kept_1"] for row in numbers["thin_lines"]}
        lines.append(f"thin dark lines keep {kept} of their contrast (bar 0.9): {verdict(min(kept.values()) >= 0.9)}")
    if numbers.get("lesions"):
        lines += _lesions(numbers["lesions"])
    if numbers.get("edges"):
        wide = {row["noise"]: row["width_whole_denoised"] / row["width_clean"] for row in numbers["edges"]}
        lines.append(
            "edge width over the clean image's: "
            + ", ".join(f"{100 * noise:.0f} %: {value:.3f}" for noise, value in wide.items())
            + f" (bar 1.05): {verdict(max(wide.values()) <= 1.05)}"
        )
        ring = {
            row["noise"]: row["overshoot_truncated"] / max(row["overshoot_truncated_sharpened"], 1e-6)
            for row in numbers["edges"]
        }
        narrow = all(row["width_truncated_sharpened"] < row["width_truncated"] for row in numbers["edges"])
        lines.append(
            "ringing lower by "
            + ", ".join(f"{100 * noise:.0f} %: {min(value, 99):.1f} x" for noise, value in ring.items())
            + f" (bar 1.5): {verdict(min(ring.values()) >= 1.5)}; "
            + f"truncated edges narrower than before: {verdict(narrow)}"
        )
    if numbers.get("homogeneity"):
        value = numbers["homogeneity"]["largest_relative_difference"]
        lines.append(f"net(a x, a sigma) = a net(x, sigma) within {value:.1e} (bar 1e-3): {verdict(value <= 1e-3)}")
    if numbers.get("pure_noise"):
        lines.append(f"pure noise: {numbers['pure_noise']}")
    return lines


def _lesions(rows: list[Row]) -> list[str]:
    lines = []
    low = [row for row in rows if row["noise"] == 0.03]
    if low:
        least = min(row["kept"] for row in low)
        lines.append(f"faint lesions at 3 % noise keep at least {least:.2f} (bar 0.9): {verdict(least >= 0.9)}")
    compared = [row for row in rows if "kept_bm3d" in row]
    behind = [row for row in compared if row["kept"] < row["kept_bm3d"]]
    lines.append(
        f"faint lesions keep at least what BM3D leaves in {len(compared) - len(behind)} of {len(compared)} cases: "
        + verdict(not behind)
    )
    return lines


def write_report(numbers: dict[str, Any], folder: Path) -> None:
    """`report.md` in `folder`."""
    lines = [
        "# Evaluation of the denoiser",
        "",
        "Written by `make evaluate-denoiser`; all numbers are in `numbers.json`. "
        f"Weights `{numbers['weights_sha256'][:16]}`, suppression {numbers['suppression']:g}, "
        f"training {numbers['training']}.",
        "",
        "SNR is the 99th percentile of the slice over the standard deviation of the noise of one average, per real or "
        'imaginary part. "Left" is the standard deviation over noise draws after over before; J is what is left at '
        "full strength. Test slices: " + (", ".join(numbers["real_slices"]) or "simulated ones alone") + ".",
        "",
        "## Against the bars",
        "",
        *(f"- {line}" for line in summary(numbers)),
    ]
    if numbers.get("quick"):
        lines += ["", "This was a quick run: fewer slices and draws than the bars ask for."]
    if numbers.get("residual"):
        lines += ["", "## Limit of the noise reduction (1 - J), NEX 1"]
        for images in ("real", "simulated"):
            lines += ["", f"{images.capitalize()} slices:", "", *table(_limits(numbers["residual"], images))]
        lines += ["", "## Noise left", "", *table([row for row in numbers["residual"] if row["factor"] < 1])]
    if numbers.get("peers"):
        lines += ["", "## Other methods, full strength, sharpening off", "", *table(numbers["peers"]["rows"])]
        lines += ["", "Each slice, PSNR over BM3D's:", "", *table(numbers["peers"]["each_slice"])]
    for name, title in (
        ("edges", "Slanted edge"),
        ("thin_lines", "Thin dark lines"),
        ("lesions", "Faint lesions"),
        ("wrong_noise_level", "Noise map off, 50 % asked"),
        ("raw", "Real raw files (phantoms)"),
    ):
        if numbers.get(name):
            lines += ["", f"## {title}", "", *table(numbers[name])]
    for name, title in (("bias", "Bias"), ("pure_noise", "Pure noise")):
        if numbers.get(name):
            lines += ["", f"## {title}", "", *table([numbers[name]])]
    if numbers.get("pictures"):
        lines += ["", "## Pictures", ""]
        for entry in numbers["pictures"]["montages"]:
            about = f"{entry['slice']}, SNR {entry['snr']}, NEX {entry['nex']:g}"
            # Pictures of real slices stay with who made them: the data are not ours to hand on.
            shown = f"`{entry['file']}` (not in the repository)" if entry["file"].startswith("real") else ""
            lines += [f"{about}:", "", shown or f"![{about}]({entry['file']})", ""]
        lines += ["Noise spectra:", "", "![noise spectra](noise-spectra.png)"]
    (folder / "report.md").write_text("\n".join(lines) + "\n")
