"""How networks learn: examples, one loop with its schedules, heads, and the few loops that are lessons of their own."""

from course_utils.training.examples import IGNORED, Examples, balanced_weights, epoch_batches  # noqa: I001
from course_utils.training.loop import (
    History, Task, adamw, epoch_steps, evaluate, fit, predict, sampled_steps, take_step, total_weight, train_epoch, weighted_loss,
)  # fmt: skip
from course_utils.training.schedules import (
    constant, layer_rates, linear_fall, slanted_triangular, uncorrected, warm_up,
)  # fmt: skip
