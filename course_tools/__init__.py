"""What instructors and CI run: the ``course`` command and what is behind it. No lecture imports it."""
