"""What instructors and CI run: the ``course`` command and what is behind it. No lecture imports it."""


class CourseError(RuntimeError):
    """Something that the one at the keyboard can mend; the command says it in a sentence, without a traceback."""
