"""The figures of the course: each states its finding, names its units and reads without colour.

A function takes data and returns a Matplotlib figure; :func:`show` puts it into the notebook as a PNG with a text
alternative. Figures are made without pyplot, so nothing is drawn twice and nothing stays open.
"""

from course_utils.plotting.charts import (  # noqa: I001
    bars, heatmap, intervals, label_points, learning_curves, lines, scoreboard, word_map,
)  # fmt: skip
from course_utils.plotting.diagrams import (
    PIECES, bilm_diagram, course_map, freeze_diagram, piece_kind, pieces_picture, taxonomy, window_picture,
)  # fmt: skip
from course_utils.plotting.messages import (
    class_balance, confusion, length_histogram, padding_picture, precision_recall, threshold_figure, verdicts,
)  # fmt: skip
from course_utils.plotting.sketches import sketch
from course_utils.plotting.style import COLOURS, LOOKS, OTHERS, STANDIN, look, png, show, shown_size
