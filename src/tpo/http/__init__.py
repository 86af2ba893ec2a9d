"""HTTP as models and rewards both need it: endpoints and their keys, what a failure means, when to try again."""
