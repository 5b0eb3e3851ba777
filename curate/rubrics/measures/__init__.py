"""Numbers made of ratings, as papers define them: pure functions, each with the numbers of its paper as a test."""
