"""Which language a text is in, by its letters and by py3langid, for the languages that have an ISO 639-1 code.

The codes are written out, so that a mistyped one is answered at once, without loading the identifier.
"""

from __future__ import annotations

import math
from collections import Counter

import regex

from tpo.rewards.text import sentences

NAMES = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "br": "Breton",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "eo": "Esperanto",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "ga": "Irish",
    "gl": "Galician",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "ku": "Kurdish",
    "ky": "Kyrgyz",
    "la": "Latin",
    "lb": "Luxembourgish",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "oc": "Occitan",
    "or": "Odia",
    "pa": "Punjabi",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Tagalog",
    "tr": "Turkish",
    "ug": "Uyghur",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "vo": "Volapük",
    "xh": "Xhosa",
    "zh": "Chinese",
    "zu": "Zulu",
}

# What the identifier may call one of them: a written form or a close relative that short texts share.
RELATIVES = {
    "no": {"nb", "nn", "da"},
    "da": {"no", "nb"},
    "sr": {"hr", "bs"},
    "hr": {"sr", "bs"},
    "bs": {"sr", "hr"},
    "id": {"ms"},
    "ms": {"id"},
    "zh": {"yue", "wuu"},
    "ar": {"arz"},
}

# Each script has languages of its own to distinguish; every language that is not here is Latin.
_SCRIPTS = {
    "Arabic": "ar fa ps ug ur ku",
    "Armenian": "hy",
    "Bengali": "bn",
    "Cyrillic": "be bg kk ky mk mn ru sr uk az",
    "Devanagari": "hi mr ne",
    "Ethiopic": "am",
    "Georgian": "ka",
    "Greek": "el",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Han": "zh ja",
    "Hangul": "ko",
    "Hebrew": "he",
    "Kana": "ja",
    "Kannada": "kn",
    "Khmer": "km",
    "Lao": "lo",
    "Malayalam": "ml",
    "Oriya": "or",
    "Sinhala": "si",
    "Tamil": "ta",
    "Telugu": "te",
    "Thai": "th",
}
_BY_SCRIPT = {script: frozenset(codes.split()) for script, codes in _SCRIPTS.items()}
_IN_LATIN = (set(NAMES) - set().union(*_BY_SCRIPT.values())) | {"ku", "sr", "az"}
_LETTERS = {
    script: regex.compile(r"[\p{Hiragana}\p{Katakana}]" if script == "Kana" else rf"\p{{Script={script}}}")
    for script in (*_BY_SCRIPT, "Latin")
}
_LETTER = regex.compile(r"\p{L}")
# A syllable or a word in one letter: such letters count twice, or a name in Latin letters would outweigh a sentence.
_DENSE = ("Han", "Hangul", "Kana")
_KANA_IN_JAPANESE = 0.1  # of the letters that are Han or kana; a sentence with more kana is Japanese and not Chinese

_ENOUGH = 4000  # characters; more do not change the result and cost time
_CLEARLY = 4.0  # times as likely
_CLEARLY_HERE = 50.0  # the same for a single sentence, which shows less than a whole text
_SHORT = 20  # letters that a text or a sentence needs: "Yes." looks like dozens of languages at once
_MOST_SENTENCES = 40  # that are identified one by one


def other_language(text: str, code: str) -> str | None:
    """The language that most of a text is in, if that is not the wanted one.

    Every sentence counts with its letters. Its script decides first: a Hindi sentence in an English text stays one
    sentence. Where script leaves several languages, the identifier decides, and a sentence that it is not sure of
    belongs to what the text is as a whole.

    Args:
        text: the text.
        code: the wanted language, one of `NAMES`.

    Returns:
        The other language's name; None where the text is in the wanted one, or its language is not clear.
    """
    wanted = {code, *RELATIVES.get(code, ())}
    if len(_LETTER.findall(text)) < _SHORT:  # only another script gives a few words away, and a name is no language
        script, letters = _script(text)
        known = not letters or script == "Latin" or not _languages_of(script).isdisjoint(wanted)
        return None if known else _named(script, [text])
    shares: Counter[str | None] = Counter()  # letters by the other language's name; None for the wanted one
    readable: list[tuple[str, int]] = []
    foreign: dict[str, list[str]] = {}
    for sentence in sentences(text):
        script, letters = _script(sentence)
        here = _languages_of(script)
        if here.isdisjoint(wanted):
            foreign.setdefault(script, []).append(sentence)
            shares[script] += letters
        elif here <= wanted:
            shares[None] += letters
        elif letters:
            readable.append((sentence, letters))
    for script, found in foreign.items():
        shares[_named(script, found)] += shares.pop(script)
    whole = _clearly_other(" ".join(sentence for sentence, _ in readable), code, _CLEARLY)
    step = max(1, len(readable) // _MOST_SENTENCES)
    for number, (sentence, letters) in enumerate(readable):
        judged = number % step == 0 and letters >= _SHORT
        shares[_verdict(sentence, code, whole) if judged else whole] += letters
    if 2 * shares[None] >= shares.total():
        return None
    del shares[None]
    return shares.most_common(1)[0][0]


def _script(sentence: str) -> tuple[str, int]:
    """The script that most letters of a sentence are in, and how many letters it has."""
    counts = {script: len(pattern.findall(sentence)) for script, pattern in _LETTERS.items()}
    weights = {script: count * (2 if script in _DENSE else 1) for script, count in counts.items()}
    east = weights["Han"] + weights["Kana"]
    if weights["Kana"] > _KANA_IN_JAPANESE * east:
        weights["Kana"], weights["Han"] = east, 0
    script = max(weights, key=lambda name: weights[name])
    return script, sum(weights.values())


def _languages_of(script: str) -> frozenset[str]:
    return _BY_SCRIPT.get(script) or frozenset(_IN_LATIN)


def _named(script: str, found: list[str]) -> str:
    """What to call the language of sentences in a script that the wanted language does not use."""
    languages = _languages_of(script)
    likely = likelihoods(" ".join(found))
    best = max(languages, key=lambda language: likely.get(language, 0.0))
    return NAMES[best]


def _verdict(sentence: str, code: str, whole: str | None) -> str | None:
    """As `other_language`, for one sentence; the verdict on the whole text where the identifier is not sure."""
    likely = likelihoods(sentence)
    if not likely:  # digits and marks belong to a script as letters do, and say nothing by themselves
        return whole
    accepted = (code, *RELATIVES.get(code, ()))
    share = sum(likely.get(one, 0.0) for one in accepted)
    best = max(likely, key=lambda language: likely[language])
    if best in accepted:
        rival = max((weight for language, weight in likely.items() if language not in accepted), default=0.0)
        return None if share > _CLEARLY_HERE * rival else whole
    return NAMES.get(best, "another language") if likely[best] > _CLEARLY_HERE * share else whole


def _clearly_other(text: str, code: str, clearly: float) -> str | None:
    likely = likelihoods(text)
    best = max(likely, key=lambda language: likely[language], default=None)
    accepted = (code, *RELATIVES.get(code, ()))
    if best is None or best in accepted or likely[best] < clearly * sum(likely.get(one, 0.0) for one in accepted):
        return None
    return NAMES.get(best, "another language")


def likelihoods(text: str) -> dict[str, float]:
    """How likely each language is for a text, between 0 and 1, relatives included; empty if it has no letters."""
    if not any(map(str.isalpha, text)):
        return {}
    import py3langid  # loads numpy and a model: only when a rule needs it

    sample = text[:_ENOUGH]
    known = set(NAMES).union(*RELATIVES.values())
    logs = {language: float(log) for language, log in py3langid.rank(sample) if language in known}
    # The raw scores grow with the text; their naive Bayes treats every byte as new evidence, which this damps.
    scale = math.sqrt(len(sample.encode("utf-8", "surrogatepass")))
    best = max(logs.values())
    weights = {language: math.exp((log - best) / scale) for language, log in logs.items()}
    total = math.fsum(weights.values())
    return {language: weight / total for language, weight in weights.items()}
