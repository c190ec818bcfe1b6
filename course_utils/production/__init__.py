"""Out of the notebook: a filter as a folder and as ONNX, behind a server, watched, and on more than one machine (lecture 15)."""
