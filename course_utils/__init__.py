"""The package behind the lectures: everything that two lectures need, and every model that the course teaches."""

from course_utils.expectations import expect, expect_kept, record
from course_utils.session import start

__version__ = "2026.11"
