"""The built wheel is what a user gets: weights inside, no torch, the command does the main job."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ("lipglance/assets/sample_face.jpg", "lipglance/assets/sample_speech.flac")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), "."]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    (built,) = out.glob("lipglance-*.whl")
    return built


def test_wheel_holds_weights_samples_and_notices(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        *SAMPLES,
        "lipglance/assets/face_detector.onnx",
        "lipglance/assets/face_mesh.onnx",
        "lipglance/assets/NOTICE-mediapipe.txt",
        "lipglance/assets/NOTICE-speech-embedding.txt",
        "lipglance/assets/speech_embedding.safetensors",
        "lipglance/assets/SOURCES.md",
        "lipglance/py.typed",
        *(
            f"lipglance/weights/glance/{part}"
            for part in (
                "CARD.md",
                "basis.npz",
                "model.json",
                "motion.json",
                "motion.onnx",
                "renderer.onnx",
                "look.onnx",
                "rest.onnx",
            )
        ),
        "lipglance/weights/lmgg/CARD.md",
        "lipglance/weights/lmgg/model.json",
        "lipglance/weights/lmgg/model.onnx",
        "lipglance/weights/lmgg/model.safetensors",
    } <= names
    assert not [name for name in names if name.endswith((".pt", ".pkl", ".mkv", ".mp4"))]
    assert wheel.stat().st_size < 35e6


def test_wheel_needs_no_torch(wheel):
    (path,) = [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA")]
    lines = zipfile.ZipFile(wheel).read(path).decode().splitlines()
    needed = [x for x in lines if x.startswith("Requires-Dist") and "extra ==" not in x]
    assert needed
    assert not [x for x in needed if "torch" in x or "dlib" in x or "librosa" in x]


@pytest.mark.parametrize("model", ["glance", "lmgg"])
def test_installed_wheel_makes_a_video_without_torch(wheel, tmp_path, model):
    """Unpacked away from the checkout, with torch made impossible to import."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import lipglance, lipglance.cli\n"
        f"assert lipglance.__file__.startswith({str(site)!r}), lipglance.__file__\n"
        "sys.exit(lipglance.cli.main(sys.argv[1:]))\n"
    )
    out = tmp_path / "out.mp4"
    face, speech = (str(site / name) for name in SAMPLES)
    done = subprocess.run(
        [sys.executable, "-c", code, "generate", face, speech, "-o", str(out), "--model", model],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    from lipglance.media import iter_video

    frames = list(iter_video(out, None))
    assert len(frames) == 132
    mouth = [frame[140:215, 180:270].astype(float) for frame in frames]
    moved = max(abs(a - mouth[0]).mean() for a in mouth)
    assert moved > 1.0
