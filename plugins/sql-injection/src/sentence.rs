//! Words that go on with a sentence about a statement: "Why is DROP TABLE slow?"
//!
//! Any of them may be a table's name, so that a statement which is set apart from the text around it still counts.

use crate::token::{Kind, Token};

/// What frequently follows the name of a statement in English, German, French, Spanish, Italian, Portuguese and Dutch, in
/// the order of its bytes.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "aan", "aber", "about", "actually", "affect", "affects", "after", "again", "al", "alla", "allowed", "als", "also",
    "always", "am", "anche", "anstatt", "ao", "au", "auch", "auf", "aus", "aux", "avec", "be", "been", "before",
    "behave", "behaves", "bei", "beim", "being", "best", "better", "bij", "block", "blocks", "borra", "bzw", "cause",
    "causes", "ce", "ces", "cette", "che", "chi", "ci", "com", "come", "comme", "como", "con", "cosa", "could",
    "cuando", "cuándo", "cómo", "da", "dal", "dalla", "dan", "dangerous", "dans", "das", "dass", "dat", "de", "dei",
    "del", "deletes", "della", "delle", "dem", "den", "der", "des", "desde", "di", "die", "differ", "different",
    "differs", "doch", "doet", "donc", "door", "dos", "du", "durch", "during", "dus", "e", "ed", "een", "ein", "eine",
    "einem", "einen", "einer", "el", "elimina", "elle", "else", "em", "en", "entfernt", "entre", "equivalent", "er",
    "error", "es", "est", "está", "et", "except", "fa", "fail", "failed", "fails", "fait", "fast", "faster", "faz",
    "fire", "fires", "foi", "fonctionne", "free", "frees", "funciona", "funktioniert", "für", "geen", "gegen", "geht",
    "get", "gets", "gibt", "gli", "hace", "had", "hang", "hangs", "happen", "happens", "has", "hasta", "hat", "have",
    "here", "het", "hoe", "i", "il", "im", "instead", "ist", "just", "kan", "kann", "keep", "keeps", "kein", "keine",
    "können", "la", "langsam", "langsamer", "las", "le", "leave", "leaves", "lent", "lenta", "lente", "lento", "les",
    "like", "lo", "lock", "locks", "longer", "los", "löscht", "ma", "maar", "macht", "mais", "mas", "may", "mehr",
    "met", "might", "mit", "moet", "more", "much", "muss", "must", "más", "na", "naar", "nach", "nas", "ne", "need",
    "needs", "nel", "nella", "never", "ni", "nicht", "niet", "no", "noch", "nog", "non", "nos", "nous", "now", "nur",
    "não", "o", "ob", "oder", "ohne", "om", "only", "ook", "op", "os", "ou", "over", "où", "par", "para", "pas", "pela",
    "pelo", "per", "perché", "permanently", "pero", "peut", "più", "plus", "plutôt", "pode", "por", "porque",
    "possible", "pour", "pourquoi", "puede", "può", "quand", "quando", "que", "qui", "quickly", "qué", "really",
    "remove", "removes", "require", "required", "requires", "reset", "resets", "return", "returns", "run", "running",
    "runs", "safe", "safely", "sans", "schneller", "se", "sehr", "sem", "senza", "seu", "si", "sich", "sie", "sin",
    "sind", "slow", "slower", "slowly", "sobre", "soll", "sollte", "son", "sono", "sont", "sowie", "statt", "still",
    "su", "sua", "such", "sul", "support", "supported", "supports", "supprime", "sur", "são", "take", "takes",
    "también", "também", "te", "than", "there", "through", "too", "tot", "tra", "tussen", "u", "uit", "um", "uma", "un",
    "una", "und", "under", "une", "unlike", "uno", "unter", "until", "use", "used", "useful", "uses", "using", "van",
    "verwenden", "very", "via", "vom", "von", "voor", "vor", "vous", "waarom", "wait", "waits", "wann", "war", "warum",
    "wat", "weil", "wenn", "werden", "were", "werkt", "which", "while", "who", "whose", "wie", "wir", "wird", "within",
    "without", "wordt", "would", "wrong", "y", "ya", "zijn", "zo", "zonder", "zu", "zum", "zur", "zwischen", "à", "è",
    "é", "über",
];

/// Bytes of the longest one.
const LONGEST: usize = 12;

/// Whether the word may go on with a sentence, and is no part of a qualified name. Words of other scripts than Latin may:
/// in them sentences are written, and names seldom.
pub(crate) fn goes_on(word: &Token<'_>) -> bool {
    if word.kind != Kind::Word || word.is_glued {
        return false;
    }
    let is_foreign = word.text.starts_with(|first| matches!(first, '\u{370}'..='\u{1fff}' | '\u{2e80}'..));
    is_foreign || is_known(word.text)
}

fn is_known(word: &str) -> bool {
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    WORDS.binary_search_by(|known| known.as_bytes().cmp(lower)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_in_order_and_every_one_is_known() {
        assert!(WORDS.is_sorted_by(|word, next| word.as_bytes() < next.as_bytes()));
        assert_eq!(WORDS.iter().map(|word| word.len()).max(), Some(LONGEST));
        assert!(WORDS.iter().all(|word| is_known(word) && is_known(&word.to_ascii_uppercase())));
        assert!(!is_known("users") && !is_known("") && !is_known(&"a".repeat(LONGEST + 1)));
    }
}
