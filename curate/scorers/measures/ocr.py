"""Whether a picture shows the text its prompt asks for: it is read by RapidOCR and compared with what stands in quotes.

The reward for rendered text of Flow-GRPO (Liu et al., 2025) is the model: the text in quotes against what is read, by edit
distance. What differs: every quoted text counts and not only the first, in any kind of quotes; comparison is by NFKC and case
folding; text is looked for as the nearest stretch of what was read, so signs in the background cost nothing. A prompt without
quotes has no answer (`not_applicable`), and a reader that fails is a failure: neither is a 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from curate.raters import Item, Judgement, failed, measured
from curate.records import Status
from curate.scorers.measures.picture_text import ReadingRater, told
from curate.scorers.measures.quoted import agreement, quoted_texts


class QuotedText(ReadingRater):
    """Reads pictures and judges how well they show what the prompt quotes."""

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        return [self._judge(item) for item in batch]

    def _judge(self, item: Item) -> Judgement:
        prompt = item.samples[0].prompt
        if not prompt:
            return failed(item, self.dimensions, Status.MISSING_PROMPT, "there is no prompt to look for quotes in")
        wanted = quoted_texts(prompt)
        if not wanted:
            return failed(item, self.dimensions, Status.NOT_APPLICABLE, "the prompt quotes no text to look for")
        lines = self.read(item)
        value = measured(agreement(wanted, lines), rationale=told(lines))
        return Judgement(item=item.number, values={self.dimensions[0]: value})
