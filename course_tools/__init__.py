"""What instructors and CI run: the ``course`` command and what is behind it. No lecture imports it."""

PATIENCE = 900  # seconds: what takes longer hangs, even on a machine ten times slower than a laptop
MISSING = '{} is not installed: pip install -e ".[lab,site]" in a checkout of the course.'


class CourseError(RuntimeError):
    """Something that the one at the keyboard can mend; `course` says it in a sentence, not in a traceback."""
