"""Make the sample face and sentence in src/lipglance/assets (see SOURCES.md there).

    python scripts/make_sample_assets.py .../librivox/sense_and_sensibility_01_austen_64kb-0890.wav

Needs scikit-image (the train extra does not bring it) and the recording, which Debian's package
pocketsphinx-testdata holds under /usr/share/pocketsphinx/test/data/librivox.
"""

import sys
from pathlib import Path

import av
import numpy as np
from PIL import Image
from skimage.data import astronaut

from lipglance.media import read_audio

ASSETS = Path(__file__).resolve().parents[1] / "src" / "lipglance" / "assets"
SAMPLES = 132 * 640  # whole video frames: 20 ms of silence at the end are left out


def main(recording: str) -> None:
    Image.fromarray(astronaut()).save(ASSETS / "sample_face.jpg", quality=95, subsampling=0)
    speech = np.round(read_audio(recording)[None, :SAMPLES] * 32768).astype(np.int16)
    with av.open(ASSETS / "sample_speech.flac", "w") as container:
        stream = container.add_stream("flac", rate=16000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16000, frame_size=4096)
        frame = av.AudioFrame.from_ndarray(speech, format="s16", layout="mono")
        frame.sample_rate = 16000
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main(sys.argv[1])
