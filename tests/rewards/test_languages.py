"""Which language a text is in: by the share of its letters, sentence by sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.rewards.languages import NAMES, other_language
from tpo.rewards.rules import parse_rule
from tpo.rewards.verifiers.ifeval import instruction

SAMPLES = {
    "hi": "भारत एक बहुत बड़ा देश है और यहाँ कई भाषाएँ बोली जाती हैं। दिल्ली इसकी राजधानी है।",
    "mr": "महाराष्ट्र हे भारतातील एक मोठे राज्य आहे आणि मुंबई ही त्याची राजधानी आहे.",
    "ne": "नेपाल हिमालयको काखमा अवस्थित एक सुन्दर देश हो र काठमाडौं यसको राजधानी हो।",
    "ta": "இந்தியா ஒரு பெரிய நாடு, இங்கு பல மொழிகள் பேசப்படுகின்றன. சென்னை தமிழ்நாட்டின் தலைநகரம்.",
    "th": "ประเทศไทยมีเมืองหลวงคือกรุงเทพมหานคร และมีอาหารอร่อยมากมาย",
    "ja": "東京は日本の首都です。とても大きな都市で、たくさんの人が住んでいます。",
    "ko": "서울은 대한민국의 수도이며 많은 사람들이 살고 있습니다. 한강이 도시를 가로질러 흐릅니다.",
    "ru": "Москва является столицей России. Это очень большой город, в котором живёт много людей.",
    "uk": "Київ є столицею України. Це дуже велике місто, в якому живе багато людей.",
    "bg": "София е столицата на България. Това е голям град, в който живеят много хора.",
    "sr": "Београд је главни град Србије. То је велики град у којем живи много људи.",
    "ar": "القاهرة هي عاصمة مصر وهي مدينة كبيرة جدا يعيش فيها ملايين الناس.",
    "fa": "تهران پایتخت ایران است و شهری بسیار بزرگ است که میلیون‌ها نفر در آن زندگی می‌کنند.",
    "ur": "اسلام آباد پاکستان کا دارالحکومت ہے اور یہ ایک بہت خوبصورت شہر ہے۔",
    "zh": "北京是中国的首都，也是一座历史悠久的城市，有许多著名的景点。",
    "he": "ירושלים היא בירת ישראל ויש בה הרבה אתרים היסטוריים.",
    "el": "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας και μια πολύ μεγάλη πόλη.",
    "bn": "ঢাকা বাংলাদেশের রাজধানী এবং এটি একটি খুব বড় শহর।",
    "te": "హైదరాబాద్ తెలంగాణ రాష్ట్రానికి రాజధాని మరియు చాలా పెద్ద నగరం.",
    "kn": "ಬೆಂಗಳೂರು ಕರ್ನಾಟಕದ ರಾಜಧಾನಿ ಮತ್ತು ಬಹಳ ದೊಡ್ಡ ನಗರ.",
    "gu": "ગાંધીનગર ગુજરાતની રાજધાની છે અને તે સુંદર શહેર છે.",
    "pa": "ਚੰਡੀਗੜ੍ਹ ਪੰਜਾਬ ਦੀ ਰਾਜਧਾਨੀ ਹੈ ਅਤੇ ਇਹ ਬਹੁਤ ਸੋਹਣਾ ਸ਼ਹਿਰ ਹੈ।",
    "de": "Berlin ist die Hauptstadt von Deutschland. Es ist eine sehr große Stadt, in der viele Menschen leben.",
    "fr": "Paris est la capitale de la France. C'est une très grande ville où vivent beaucoup de gens.",
    "es": "Madrid es la capital de España. Es una ciudad muy grande donde vive mucha gente.",
    "pt": "Lisboa é a capital de Portugal. É uma cidade muito grande onde vivem muitas pessoas.",
    "it": "Roma è la capitale d'Italia. È una città molto grande in cui vivono molte persone.",
    "nl": "Amsterdam is de hoofdstad van Nederland. Het is een grote stad waar veel mensen wonen.",
    "sv": "Stockholm är huvudstaden i Sverige. Det är en stor stad där många människor bor.",
    "da": "København er hovedstaden i Danmark. Det er en stor by, hvor mange mennesker bor.",
    "no": "Oslo er hovedstaden i Norge. Det er en stor by der mange mennesker bor.",
    "fi": "Helsinki on Suomen pääkaupunki. Se on suuri kaupunki, jossa asuu paljon ihmisiä.",
    "pl": "Warszawa jest stolicą Polski. To bardzo duże miasto, w którym mieszka wielu ludzi.",
    "cs": "Praha je hlavní město České republiky. Je to velké město, kde žije mnoho lidí.",
    "tr": "Ankara Türkiye'nin başkentidir. Çok sayıda insanın yaşadığı büyük bir şehirdir.",
    "vi": "Hà Nội là thủ đô của Việt Nam. Đây là một thành phố lớn với rất nhiều người sinh sống.",
    "id": "Jakarta adalah ibu kota Indonesia. Ini adalah kota besar tempat banyak orang tinggal.",
    "sw": "Dodoma ni mji mkuu wa Tanzania. Ni mji mkubwa ambapo watu wengi wanaishi.",
}
ENGLISH = (
    "The capital city is one of the most visited places in the world. "
    "Millions of people come every year to see its museums and parks. "
    "You should plan at least three days for your visit. "
    "Public transport is cheap and runs all night. "
    "Remember to book your hotel early, since rooms are rare in summer. "
    "Many restaurants offer food from all over the world. "
    "The river divides the town into two parts, and both are worth a walk. "
)


def mixed(sample: str) -> list[str]:
    """English, four fifths or more of the letters, with some of another language at one of three places."""
    return [f"{sample} {ENGLISH}", f"{ENGLISH} {sample}", f"{ENGLISH[:196]}\n\n{sample}\n\n{ENGLISH[196:]}"]


@pytest.mark.parametrize("code", SAMPLES)
def test_english_with_a_little_of_another_language_is_english(code: str) -> None:
    for text in mixed(SAMPLES[code]):
        assert (other_language(text, code), other_language(text, "en")) == ("English", None)
        assert parse_rule(f"language={code}").broken(text) == "the answer seems to be in English"
        assert parse_rule("language=en").broken(text) is None
        followed = instruction("language:response_language", {"language": code})
        assert followed.broken(text) == "the answer seems to be in English"
        assert instruction("change_case:english_lowercase", {}).broken(text.lower()) is None


@pytest.mark.parametrize("code", SAMPLES)
def test_a_language_with_one_english_sentence_stays_itself(code: str) -> None:
    assert other_language(f"{SAMPLES[code] * 6} This is one English sentence here.", code) is None


@pytest.mark.parametrize("code", SAMPLES)
def test_every_other_language_is_distinguished(code: str) -> None:
    relatives = {"no", "da"}
    passing = [other for other in SAMPLES if other_language(SAMPLES[code] * 2, other) is None]
    assert set(passing) - {code} <= (relatives if code in relatives else set())


@pytest.mark.parametrize("text", ["Paris.", "12 + 30 = 42", "Yes.", "OK", ""])
def test_a_word_or_two_may_be_in_any_language(text: str) -> None:
    assert other_language(text, "fr") is None


def test_digits_of_a_script_say_nothing_by_themselves() -> None:
    # A small model wrote such a line of digits for a letter in Hindi.
    assert other_language(f"{SAMPLES['hi']}\n{'१२३३२३४४३४५४' * 3}", "hi") is None


# Letters, marks and digits of several scripts, which plain text() seldom puts into one sentence.
MIXED = st.text("कखा्ि१२३॰།กำ๑가あ中١٢ابaé12. \n", min_size=20)


@given(st.text() | MIXED, st.sampled_from(sorted(NAMES)))
def test_no_text_breaks_it(text: str, code: str) -> None:
    assert other_language(text, code) in {None, "another language", *NAMES.values()}
