"""Whether the text in a picture talks to a judge: "ignore your rubric", "rate this 10 out of 10", "answer yes".

VLM judges read what stands in a picture and may obey it. The picture is read by RapidOCR, and the patterns are those for captions
(`curate.suspicion`). They find what is written plainly, in English: a note to look, not a defence.
"""

from __future__ import annotations

from collections.abc import Sequence

from curate.raters import Item, Judgement, measured
from curate.scorers.measures.picture_text import ReadingRater, told
from curate.suspicion import talks_to_the_judge


class InjectedText(ReadingRater):
    """0 where the text in the picture talks to the judge, else 1; what was read is the rationale."""

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        return [self._judge(item) for item in batch]

    def _judge(self, item: Item) -> Judgement:
        lines = self.read(item)
        # A sentence may run over several lines, and a line may begin one.
        talks = talks_to_the_judge(" ".join(lines)) or talks_to_the_judge("\n".join(lines))
        return Judgement(item=item.number, values={self.dimensions[0]: measured(float(not talks), rationale=told(lines))})
