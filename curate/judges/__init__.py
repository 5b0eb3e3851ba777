"""Vision-language judges as raters: a rubric (`curate.rubrics`), something that answers (a server, local weights), one driver."""
