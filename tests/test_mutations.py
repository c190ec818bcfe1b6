"""Break the code that carries the lesson, one line at a time: a test must turn red each time.

Every case copies the package, changes one place, and runs the test that is to notice it against the copy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MUTATIONS = {
    "encoder not frozen": (
        "training/heads.py",
        "encoder.requires_grad_(False), head",
        "encoder, head",
        "test_heads.py::test_frozen_encoder_gets_no_gradient_and_every_head_parameter_gets_one",
    ),
    "dropout left on in the frozen encoder": (
        "training/heads.py",
        "self.encoder.train(mode and self.encoder_dropout)",
        "self.encoder.train(mode)",
        "test_heads.py::test_no_dropout_inside_a_frozen_encoder_in_train_mode",
    ),
    "padding counted in the mean": (
        "models/pooling.py",
        "/ real.sum(dim=1)",
        "/ real.shape[1]",
        "test_heads.py::test_mean_pooling_is_the_mean_of_the_real_tokens",
    ),
    "class weights swapped": (
        "training/examples.py",
        "return counts.sum() / (len(counts) * counts.float())",
        "return (counts.sum() / (len(counts) * counts.float())).flip(0)",
        "test_training.py::test_each_class_counts_as_its_weight_says",
    ),
    "truncation at 10": (
        "training/examples.py",
        "max_length=max_length,",
        "max_length=10,",
        "test_training.py::test_messages_are_cut_where_they_should_be",
    ),
    "labels shuffled": (
        "training/examples.py",
        "labels = self.labels[indices]",
        "labels = self.labels[torch.randperm(len(self))[: len(indices)]]",
        "test_training.py::test_learns_and_keeps_the_best_weights",
    ),
    "best weights not restored": (
        "training/loop.py",
        "parameter.data.copy_(best[name])",
        "pass",
        "test_training.py::test_best_weights_are_those_of_the_best_epoch_not_the_last",
    ),
    "threshold off by 0.3": (
        "widgets.py",
        "blocked = scores >= threshold",
        "blocked = scores >= threshold + 0.3",
        "test_widgets.py",
    ),
    "windows that cross the end of a sentence": (
        "models/word2vec.py",
        "together = text.sentences[:-distance] == text.sentences[distance:]",
        "together = text.sentences[:-distance] >= 0",
        "test_word2vec.py::test_pairs_are_what_two_loops_find_and_never_cross_a_sentence",
    ),
    "noise as frequent as in the text": (
        "models/word2vec.py",
        "power: float = 0.75",
        "power: float = 1.0",
        "test_word2vec.py::test_noise_follows_the_power_of_three_quarters_within_sampling_error",
    ),
    "noise that pulls instead of pushing": (
        "training/word_vectors.py",
        "slope[:, :tokens] -= 1",
        "slope -= 1",
        "test_word2vec.py::test_blocks_have_the_loss_and_the_gradient_of_the_plain_model",
    ),
    "a negative that is the positive counts": (
        "training/word_vectors.py",
        "if len(hits):",
        "if False:",
        "test_word2vec.py::test_blocks_have_the_loss_and_the_gradient_of_the_plain_model",
    ),
    "GloVe's weight not capped": (
        "models/glove.py",
        "(counts / x_max).clamp(max=1.0)",
        "(counts / x_max)",
        "test_glove.py::test_the_weight_is_the_papers",
    ),
    "pairs counted alike at every distance": (
        "models/glove.py",
        "1 / distance",
        "1.0",
        "test_glove.py::test_counts_are_what_loops_count_wherever_the_text_is_cut_into_chunks",
    ),
    "an analogy that may answer with its question": (
        "word_vectors.py",
        "count, without=(a, b, c))",
        "count)",
        "test_word_vectors.py::test_an_analogy_never_answers_with_its_question",
    ),
    "a direction that is asked for the word it has just read": (
        "models/elmo.py",
        "tokens[:, 1:][pair], top[:, 1:, units:][pair]",
        "tokens[:, :-1][pair], top[:, 1:, units:][pair]",
        "test_elmo.py::test_each_direction_guesses_the_neighbour_on_its_side",
    ),
    "backwards from the padding": (
        "models/elmo.py",
        "mask.sum(1, keepdim=True) - 1 - place",
        "mask.shape[1] - 1 - place",
        "test_elmo.py::test_padding_changes_nothing",
    ),
    "a backward layer that is never turned back": (
        "models/elmo.py",
        "back.take_along_dim(turned, 1)], dim=2)",
        "back], dim=2)",
        "test_elmo.py::test_forwards_never_sees_the_future_nor_backwards_the_past",
    ),
    "no residual": (
        "models/elmo.py",
        "(a + ahead, b + back) if depth else (a, b)",
        "(a, b)",
        "test_elmo.py::test_the_second_layer_has_a_residual",
    ),
    "layer weights that do not sum to one": (
        "models/elmo.py",
        "self.weights.softmax(0)",
        "self.weights.exp()",
        "test_elmo.py::test_layer_weights_sum_to_one_and_gamma_scales",
    ),
    "words that keep the row of another word": (
        "models/language_model.py",
        "rows = [row.get(word, len(old)) for word in new]",
        "rows = [min(i, len(old)) if word in row else len(old) for i, word in enumerate(new)]",
        "test_ulmfit.py::test_known_words_keep_row_and_bias_and_new_ones_get_the_mean",
    ),
    "the last state taken from the padding": (
        "models/pooling.py",
        "mask.sum(1) - 1]",
        "-1]",
        "test_ulmfit.py::test_pooling_is_that_of_the_text_alone_whatever_stands_in_the_padding",
    ),
    "rates that grow downwards": (
        "training/schedules.py",
        "rate / factor ** (last - i)",
        "rate / factor ** i",
        "test_ulmfit.py::test_rates_fall_by_the_factor_from_layer_to_layer",
    ),
    "nothing frozen while the head learns": (
        "training/schedules.py",
        "parameter.requires_grad_(place < number)",
        "parameter.requires_grad_(True)",
        "test_ulmfit.py::test_frozen_groups_do_not_move_until_they_are_unfrozen",
    ),
    "a masked-LM loss that ignores its mask": (
        "models/bert.py",
        "self.fill_in(last[chosen[asked]])",
        "self.fill_in(last)",
        "test_bert.py::test_logits_are_computed_at_chosen_places_only_and_are_those_of_all_places",
    ),
    "padding that can be chosen": (
        "training/pretraining.py",
        "(ids == PAD) | (ids == CLS)",
        "(ids == CLS)",
        "test_bert.py::test_padding_changes_neither_loss",
    ),
    "a class dropped by an ignore index": (
        "training/pretraining.py",
        "verdicts, batch.follows.to(device)",
        "verdicts, batch.follows.to(device), ignore_index=0",
        "test_bert.py::test_both_classes_of_the_pairs_count",
    ),
    "the answer left under the mask": (
        "training/pretraining.py",
        "read = torch.where(chosen & (fate < 0.8), mask, ids)",
        "read = ids",
        "test_bert.py::test_fifteen_per_cent_are_chosen_and_go_80_10_10",
    ),
    "a core's part of the batch counted as the whole": (
        "training/pretraining.py",
        "both = share * torch.stack",
        "both = torch.stack",
        "test_bert.py::test_cores_share_a_batch_and_learn_what_one_would",
    ),
    "torn sentences give the pairs away": (
        "training/pretraining.py",
        "other = int(draw.choice(starts)) if whole else",
        "other = int(draw.integers(len(ids))) if whole else",
        "test_bert.py::test_half_of_the_pairs_follow_and_both_kinds_begin_with_a_sentence",
    ),
    "dropout on while it predicts": (
        "training/loop.py",
        "    model.eval()\n    device = next",
        "    model.train()\n    device = next",
        "test_training.py::test_predictions_have_dropout_off",
    ),
    "no clipping": (
        "training/loop.py",
        "if p.grad is not None], clip)",
        "if p.grad is not None], 1e9)",
        "test_training.py::test_a_long_gradient_is_shortened_to_the_norm_asked_for",
    ),
    "no shuffling": (
        "training/examples.py",
        "order = generator.permutation(len(examples))",
        "order = np.arange(len(examples))",
        "test_training.py::test_examples_are_shuffled_and_anew_in_each_epoch",
    ),
    "the same order in every epoch": (
        "training/loop.py",
        "epoch_steps(tasks, batch_size, seed + 1000 * epoch, by_length)",
        "epoch_steps(tasks, batch_size, seed, by_length)",
        "test_training.py::test_examples_are_shuffled_and_anew_in_each_epoch",
    ),
    "validation unweighted": (
        "training/loop.py",
        "totals += torch.stack(weighted_loss(scores, labels, weights))",
        "totals += torch.stack(weighted_loss(scores, labels))",
        "test_training.py::test_the_validation_loss_is_weighted_as_the_training_loss_is",
    ),
    "a warm-up that is off by one": (
        "training/schedules.py",
        "(step + 1) / top",
        "step / top",
        "test_schedules.py::test_first_highest_and_last_step",
    ),
    "a fall that never reaches 0": (
        "training/schedules.py",
        "(steps - step) / max(1, steps - top)",
        "(steps - step + 1) / max(1, steps - top + 1)",
        "test_schedules.py::test_first_highest_and_last_step",
    ),
    "next sentences judged with their padding": (
        "models/bert.py",
        "self.encoder(ids, mask, segments, only=asked)",
        "self.encoder(ids, None, segments, only=asked)",
        "test_bert.py::test_padding_changes_neither_loss",
    ),
    "an auxiliary loss that counts padding": (
        "training/examples.py",
        "pad_rows(self.labels, IGNORED)",
        "pad_rows(self.labels, 0)",
        "test_transformer.py::test_the_auxiliary_loss_counts_no_padding",
    ),
    "a constant rate in language models": (
        "training/language_models.py",
        "[schedule(step, steps) for step in range(steps)]",
        "[1.0] * steps",
        "test_language_model.py::test_the_rate_follows_its_schedule_and_the_gradient_is_clipped",
    ),
    "no clipping in language models": (
        "training/language_models.py",
        "take_step(optimizer, rate)",
        "take_step(optimizer, rate, 1e9)",
        "test_language_model.py::test_the_rate_follows_its_schedule_and_the_gradient_is_clipped",
    ),
    "class weights ignored in training": (
        "training/loop.py",
        "weighted_loss(scores, labels, task.class_weights)",
        "weighted_loss(scores, labels)",
        "test_ulmfit.py::test_class_weights_count_in_stage_3",
    ),
    "a pooler that is not transferred": (
        "models/bert.py",
        "copy.deepcopy(pretrained.pooler)",
        "nn.Linear(pretrained.pooler.in_features, pretrained.pooler.out_features)",
        "test_bert.py::test_the_classifier_starts_from_a_copy_and_everything_learns",
    ),
    "GloVe's x_max ignored": (
        "training/word_vectors.py",
        "glove_weight(data, x_max)",
        "glove_weight(data)",
        "test_glove.py::test_x_max_says_from_where_on_counts_weigh_the_same",
    ),
    "pieces that each count as the whole": (
        "training/loop.py",
        "backward(task.share * sums[0] / weight)",
        "backward(task.share * sums[0] / sums[1])",
        "test_training.py::test_pieces_of_a_batch_give_the_step_of_the_whole",
    ),
    "a batch without the rare class that counts for more": (
        "training/loop.py",
        "if self.mean_weight is None:",
        "if True:",
        "test_ulmfit.py::test_a_batch_counts_by_its_texts_and_not_by_their_weights",
    ),
    "another run's labels resumed": (
        "training/loop.py",
        'told = {\n        task.name or "data": [task.train.digest(), ',
        'told = {\n        task.name or "data": [',
        "test_training.py::test_a_finished_run_is_not_taken_for_another",
    ),
    "norms and biases that decay": (
        "training/loop.py",
        '"weight_decay": decays * decay',
        '"weight_decay": decay',
        "test_training.py::test_layers_move_by_their_rate_and_norms_and_biases_do_not_decay",
    ),
    "a bound that is never checked": (
        "expectations.py",
        "passed &= at_least is None or value >= at_least",
        "passed &= True",
        "test_session.py::test_expect_fails_outside_its_bound",
    ),
}


def run_on(package: Path, test: str) -> subprocess.CompletedProcess:
    # In front of the checkout, which an editable install and pytest's own settings put on the path as well.
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "COURSE_PROFILE": "ci"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir",
               str(package.parent), "-c", str(package.parent / "pytest.ini"), str(package.parent / "tests" / test)]  # fmt: skip
    return subprocess.run(
        command, env=environment, cwd=package.parent, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def copy(tmp_path) -> Path:
    shutil.copytree(ROOT / "course_utils", tmp_path / "course_utils")
    (tmp_path / "tests").mkdir()
    for file in [*(ROOT / "tests").glob("*.py"), *(ROOT / "tests" / "course_utils").glob("*.py")]:
        shutil.copy(file, tmp_path / "tests")
    shutil.copytree(ROOT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = . tests\n")
    return tmp_path / "course_utils"


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_turns_its_test_red(name, copy):
    file, old, new, test = MUTATIONS[name]
    source = (copy / file).read_text(encoding="utf-8")
    assert source.count(old) == 1, (
        f"{file} no longer holds {old!r} exactly once: bring this mutation up to date"
    )
    (copy / file).write_text(source.replace(old, new), encoding="utf-8")
    result = run_on(copy, test)
    assert result.returncode == 1, result.stdout + result.stderr
    assert " failed" in result.stdout and " error" not in result.stdout, result.stdout


def test_without_a_mutation_they_are_green(copy):
    result = run_on(copy, "test_heads.py")
    assert result.returncode == 0, result.stdout + result.stderr
