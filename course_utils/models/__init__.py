"""The architectures that the course teaches, one file each."""
