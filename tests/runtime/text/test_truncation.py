"""Very long texts: tokenizing a prefix gives the tokens of the whole text."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from runtime.text.truncation import encode_prefix, prefix_rule

MAX_LENGTH = 16
WORDS = [
    "late",
    "doctor:",
    "Doctor:",
    "doctor-",
    "été",
    "e\u0301",
    "漢字",
    "\u00a0",
    "[SEP]",
    "x" * 300,
    " " * 50,
    "\n",
    "ﬁ",
    "12.5",
]
texts = st.lists(st.sampled_from([*WORDS, " ", " ", "\u200b", "."]), min_size=300, max_size=600).map("".join)


def byte_level() -> Tokenizer:
    """Returns a tokenizer like RoBERTa's, trained on a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["late doctor late été xx xxxx xxxxxxxx 漢字"] * 9, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def unigram() -> Tokenizer:
    """Returns a tokenizer like XLM-RoBERTa's, trained on a few words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(["late doctor late été xx xxxx xxxxxxxx 漢字 12.5"] * 9, trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    """Returns a tokenizer like BERT's, with cleaning steps as training writes them."""
    vocabulary = [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "late",
        "doctor",
        ":",
        "ete",
        "漢",
        "字",
        "12",
        "5",
        ".",
        "x",
        "##x",
        "fi",
        "e",
    ]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    cleaning = [normalizers.NFKC(), normalizers.Replace(Regex(r"(?i)\bdoctor(?::|-\B)"), " ")]
    squeeze = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([*cleaning, *squeeze, normalizers.BertNormalizer()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


@pytest.fixture(scope="module", params=[byte_level, unigram, word_piece])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A tokenizer that truncates as the runtime's does."""
    make: Callable[[], Tokenizer] = request.param
    made = make()
    made.enable_truncation(MAX_LENGTH)
    return made


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_prefix_gives_the_tokens_of_the_whole(tokenizer: Tokenizer, text: str) -> None:
    """A prefix gives the token ids and offsets of the whole text, and the same truncation flag."""
    rule = prefix_rule(tokenizer)
    assert rule is not None
    whole, start = tokenizer.encode(text), encode_prefix(tokenizer, text, MAX_LENGTH, rule)
    assert (start.ids, start.offsets) == (whole.ids, whole.offsets)
    assert bool(start.overflowing) == bool(whole.overflowing)


def test_only_a_prefix_is_tokenized(tokenizer: Tokenizer) -> None:
    """Only a prefix of a long text is tokenized, so few windows overflow."""
    rule = prefix_rule(tokenizer)
    assert rule is not None
    for text in "late " * 10_000, "late\n" * 10_000, "late\u00a0" * 10_000:
        assert len(encode_prefix(tokenizer, text, MAX_LENGTH, rule).overflowing) < 100
        assert len(tokenizer.encode(text).overflowing) > 500


@pytest.mark.parametrize(
    "step",
    [
        normalizers.Replace(" ", ""),
        normalizers.Replace(" ", "▁"),
        normalizers.Replace(Regex(r"\s+"), ""),
        normalizers.Replace(Regex("(?m)begin.*end"), " "),
        normalizers.Replace(Regex(r"x(?=.*y)"), " "),
        normalizers.Replace(Regex("[^a-z]+"), ""),
        normalizers.Replace(Regex("a b"), " "),
        normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]),
    ],
    ids=str,
)
def test_cleaning_across_words(step: normalizers.Normalizer) -> None:
    """A cleaning step that may join words or look beyond one gives no prefix rule."""
    made = word_piece()
    made.normalizer = step
    assert prefix_rule(made) is None


@pytest.mark.parametrize(
    "split",
    [
        None,
        pre_tokenizers.ByteLevel(use_regex=False),
        pre_tokenizers.Metaspace(split=False),
        pre_tokenizers.Punctuation(),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("a b"), "isolated")]),
    ],
    ids=str,
)
def test_splitting_elsewhere_than_at_spaces(split: pre_tokenizers.PreTokenizer | None) -> None:
    """A pre-tokenizer that does not split at spaces, or is not known to, gives no prefix rule."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = split
    assert prefix_rule(made) is None


@pytest.mark.parametrize(
    "text", ["漢字" * 20_000, ".,;" * 20_000, '{"a":1,' * 8_000, "[SEP]" * 10_000], ids=lambda t: t[:7]
)
def test_text_without_white_space(text: str) -> None:
    """A prefix may end anywhere if no cleaning step looks at whole words, because its last words are not used."""
    made = word_piece()
    made.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.BertNormalizer()])
    made.add_tokens(["a very long added token, with spaces and 漢字"])
    made.enable_truncation(MAX_LENGTH)
    rule = prefix_rule(made)
    assert rule is not None
    start, whole = encode_prefix(made, text, MAX_LENGTH, rule), made.encode(text)
    assert (start.ids, start.offsets) == (whole.ids, whole.offsets)
    assert len(start.overflowing) < len(whole.overflowing) / 10


def test_published_tokenizers_have_a_prefix_rule() -> None:
    """The cleaning steps of ALBERT and DeBERTa have a prefix rule."""
    made = unigram()
    albert = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.Replace(Regex(" {2,}"), " ")]
    made.normalizer = normalizers.Sequence(albert)
    assert prefix_rule(made) is not None
    made.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    assert prefix_rule(made) is not None


def test_added_token_across_the_end() -> None:
    """A long added token at the end of a prefix does not change the ids."""
    made = word_piece()
    made.normalizer = normalizers.BertNormalizer()
    added = " ".join(map(str, range(1, 21)))
    made.add_tokens([added])
    made.enable_truncation(MAX_LENGTH)
    rule = prefix_rule(made)
    assert rule is not None
    for shift in range(190, 256):
        text = "x" * shift + " " + added + " late" * 1000
        assert encode_prefix(made, text, MAX_LENGTH, rule).ids == made.encode(text).ids
