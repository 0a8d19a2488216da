"""Wrong versions of the packed forward pass and of the tree of answers."""

from __future__ import annotations

from mutant import Mutant

PACKING = ["tests/train/test_packing.py"]
TREE = ["tests/train/test_tree.py"]
ANSWERS = ["tests/train/test_answers.py"]
POLICY = "tests/train/test_policy.py::"
PLAIN = [POLICY + "test_equals_a_plain_forward_pass"]
STRINGS = [POLICY + "test_answers_equal_every_string_by_itself"]

MUTANTS = [
    Mutant(
        target="levelhead.train._tree",
        old="ends[path[common:]] = size",
        new="ends[path[common + 1 :]] = size",
        why="leaves the first token that is not shared open, so that the next sequence sees it",
        tests=TREE,
    ),
    Mutant(
        target="levelhead.train._tree",
        old="order = sorted(range(len(sequences)), key=lambda i: sequences[i].tobytes())",
        new="order = list(range(len(sequences)))",
        why="compares neighbors without sorting: a beginning shared with an earlier one is missed",
        tests=TREE,
    ),
    Mutant(
        target="levelhead.train._tree",
        old="positions[new] = n + np.arange(common, len(sequence))",
        new="positions[new] = new",
        why="positions count along the row and do not restart after the prompt",
        tests=TREE,
    ),
    Mutant(
        target="levelhead.train.packing",
        old="seen = (columns[:, None] >= columns) & (columns[:, None] < self.ends[:, None, :])",
        new="seen = ((columns[:, None] >= columns) & (self.ends[:, None, :] > 0))",
        why="plain causal mask: a completion sees the ones before it in the row",
        tests=PLAIN,
    ),
    Mutant(
        target="levelhead.train.packing",
        old="np.concatenate([[len(prompt) - 1], path])[continuation.after]",
        new="np.concatenate([path, path[-1:]])[continuation.after]",
        why="the state of a token predicts that token itself",
        tests=PACKING,
    ),
    Mutant(
        target="levelhead.train.packing",
        old="sequence = completion[: max(len(completion) - 1, branch.start)]",
        new="sequence = completion[:-1]",
        why="forgets that a completion cut at its answer needs its last token's state",
        tests=PACKING,
    ),
    Mutant(
        target="levelhead.train.packing",
        old="return len(used) * len(nodes), prompt_length + max(used, default=0) + max(nodes)",
        new="return 1, len(used) * prompt_length + sum(used)",
        why="counts tokens of padded rows without their padding and without the answers' rows",
        tests=[*PACKING, "tests/train/test_preparing.py::test_micro_batches_are_within_the_budget"],
    ),
    Mutant(
        target="levelhead.train.packing",
        old="return n * length * (6 * hidden + length)",
        new="return n * length",
        why="the layout with the fewer tokens, whatever attention costs",
        tests=PACKING,
    ),
    Mutant(
        target="levelhead.train.answers",
        old="full = (*tokens, ends[tokens]) if tokens in inner else tokens",
        new="full = tokens",
        why="P(7) without its end counts 70 to 79 too",
        tests=ANSWERS,
    ),
    Mutant(
        target="levelhead.train.answers",
        old="if text.find(self.opening) == len(text) - len(self.opening):",
        new="if self.opening in text:",
        why="takes the tokenizer's own spelling of the tag for the first tag",
        tests=ANSWERS,
    ),
    Mutant(
        target="levelhead.train.policy",
        old="scaled = scaled / temperature",
        new="scaled = scaled * temperature",
        why="the wrong way round",
        tests=PLAIN,
    ),
    Mutant(
        target="levelhead.train.policy",
        old="cuts = [*torch.searchsorted(packed.which, starts).tolist(), len(packed.which)]",
        new="cuts = [*starts.tolist(), len(packed.which)]",
        why="one prediction per place: wrong where the prompt's end predicts many first tokens",
        tests=PLAIN,
    ),
    Mutant(
        target="levelhead.train.policy",
        old="COPIES[bool(entropy)]",
        new="COPIES[False]",
        why="pieces with entropies take almost twice the memory that they may",
        tests=[POLICY + "test_pieces_are_smaller_with_entropies"],
    ),
    Mutant(
        target="levelhead.train.policy",
        old="return cap * torch.tanh(logits / cap) if cap else logits",
        new="return logits",
        why="the head without what the model does to its output",
        tests=[POLICY + "test_equals_a_plain_forward_pass[gemma2-prefix]"],
    ),
    Mutant(
        target="levelhead.train.policy",
        old='entropy == "grad")',
        new="bool(entropy))",
        why="an entropy for the display drags a graph along",
        tests=[POLICY + "test_entropy_without_gradient_and_without_pieces"],
    ),
]
