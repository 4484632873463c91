"""Drop the style rules that can match nothing: the theme brings all of Bootstrap to every page.

A selector stays unless it needs a class that no page and no script mentions; whatever stands inside
``:not(...)``, ``:is(...)`` and the like is not held against it.
"""

import re

import tinycss2

NESTED = ("media", "supports", "layer", "container")
CLASS = re.compile(r"\.(-?[A-Za-z_](?:[\w-]|\\.)*)")


def words(texts):
    """Everything in the pages and scripts that could be a class name."""
    found = set()
    for text in texts:
        found.update(re.findall(r"[\w-]+", text))
    return found


def purge(css, used):
    """The style sheet ``css`` without the rules that need a class outside ``used``."""
    rules = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
    return "".join(kept(rules, used))


def kept(rules, used):
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [s for s in selector_list(rule.prelude) if can_match(s, used)]
            if selectors:
                yield f"{','.join(selectors)}{{{tinycss2.serialize(rule.content)}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in NESTED and rule.content:
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            body = "".join(kept(inner, used))
            if body:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{body}}}"
        elif rule.type != "error":
            yield rule.serialize()


def selector_list(prelude):
    """The selectors of a rule, split at the commas that are not inside brackets."""
    parts = [[]]
    for token in prelude:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tinycss2.serialize(part).strip() for part in parts]


def can_match(selector, used):
    bare = re.sub(r"\[[^\]]*\]", "", selector)
    while "(" in bare:
        shorter = re.sub(r"\([^()]*\)", "", bare)
        if shorter == bare:
            return True
        bare = shorter
    return all(name.replace("\\", "") in used for name in CLASS.findall(bare))
