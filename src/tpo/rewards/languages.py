"""Which language a text is in, as py3langid sees it, for the languages that have an ISO 639-1 code.

The codes are written out, so that a mistyped one is answered at once, without loading the identifier.
"""

from __future__ import annotations

import math

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

_ENOUGH = 4000  # characters; more say nothing new and cost time


def likelihoods(text: str) -> dict[str, float]:
    """How likely each language is for a text, between 0 and 1, relatives included; empty if it has no letters."""
    if not any(map(str.isalpha, text)):
        return {}
    import py3langid  # loads numpy and a model: only when a rule asks for it

    sample = text[:_ENOUGH]
    known = set(NAMES).union(*RELATIVES.values())
    logs = {language: float(log) for language, log in py3langid.rank(sample) if language in known}
    # The raw scores grow with the text; their naive Bayes treats every byte as new evidence, which this damps.
    scale = math.sqrt(len(sample.encode("utf-8", "surrogatepass")))
    best = max(logs.values())
    weights = {language: math.exp((log - best) / scale) for language, log in logs.items()}
    total = math.fsum(weights.values())
    return {language: weight / total for language, weight in weights.items()}
