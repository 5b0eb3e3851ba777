"""Vision-language models that give a reward or the probability of an answer."""
