"""Rubrics: what a vision-language judge is asked of a sample, and how what it answers becomes values. No network, no torch.

spec, checks        settings: messages and their parts, pictures, calls; what they are held against
reads               settings: the ways in which a reply can be read, as a card says them
readers             strategies: for each of these ways what reads the reply to a call, all with the same face
replies             parsers: texts that judges wrote, and what they say: objects, choices, numbers, formats of trained judges
distributions       the other parser: what the probabilities of labels are worth
case                what is judged, the shape of a conversation about it, and why there may be no value
fixed               texts of others that a judge was trained with, filled in
messages            messages of a card with the data of a case in their places
calling             one call: asked, asked again where the reply cannot be read, and read
methods             ways of judging: calls, checklists, questions, pairs, rounds of frames
arithmetic, values  what was read becomes values, in one pass or over several
lookup              finding things in a sample's own JSON
measures            numbers made of ratings, as papers define them
loading             from a card to its method
"""
