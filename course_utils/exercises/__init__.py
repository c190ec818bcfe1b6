"""Exercises: checks that say what is probably wrong, one module per lecture, and the quiz.

A check takes the student's function, calls it on small inputs whose answer is known, and either prints a line with a ✓
or raises :class:`CheckFailed` with a diagnosis. How an exercise is declared stands at the top of ``engine.py``.
"""

from course_utils.exercises.engine import CHECKS, SOLUTION, CheckFailed, check, exercise
