"""curate: shards of images, edits, videos and captions in; ratings kept; preference datasets out."""

__version__ = "0.1.0"
