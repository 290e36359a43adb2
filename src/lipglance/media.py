"""All that is read from files: photographs, videos and speech."""

from lipglance.audio_files import (
    AudioInfo,
    Recording,
    Speech,
    as_speech,
    audio_info,
    hear,
    iter_audio,
    read_audio,
)
from lipglance.containers import PathLike
from lipglance.image_files import read_image
from lipglance.video_files import Picture, VideoInfo, is_video, iter_video, video_info

__all__ = [
    "AudioInfo",
    "PathLike",
    "Picture",
    "Recording",
    "Speech",
    "VideoInfo",
    "as_speech",
    "audio_info",
    "hear",
    "is_video",
    "iter_audio",
    "iter_video",
    "read_audio",
    "read_image",
    "video_info",
]
