"""A reward in plain words: a rubric, or liked and disliked answers, become a checklist that a model goes through."""
