"""Vision-language judges as raters: a rubric (`curate.rubrics`), something that answers (a server, local weights), one driver.

rater       a rubric as a rater: cases put to whoever answers, answers made into judgements
showing     from the items of a run to the cases of a rubric
pictures    pictures resized and encoded as judges are shown them
served      which model and which weights answer behind an address
abilities   whether a server can do what a rubric needs, before anything is asked
driver      conversations about many cases at once, over a backend that answers in any order
memory      replies that are remembered, so that nothing is asked twice
estimate    what a run would ask and what that would cost, with nothing asked
"""
