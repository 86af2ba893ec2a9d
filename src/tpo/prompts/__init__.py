"""The wording: prompt sets as folders of templates, and how replies are read."""

from tpo.prompts.prompt import ROLES, Prompt, Role
from tpo.prompts.prompt_set import PromptSet, prompt_set, template_names

__all__ = ["ROLES", "Prompt", "PromptSet", "Role", "prompt_set", "template_names"]
