"""lipglance: speech and one picture of a face in, the video of that face's lips saying it out."""

__version__ = "0.1.0"
