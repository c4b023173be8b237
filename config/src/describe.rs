//! What a document may hold, stated once.
//!
//! A document is described by [`Element`]s, one beside each noun that it configures, and their keys by [`About`]. Three
//! things are made from these descriptions and from nothing else, so that they cannot drift apart: what the reader
//! knows, fills in and refuses ([`crate::key`]), the JSON Schema ([`crate::schema`]) and the commented reference
//! ([`crate::reference`]).

/// A mapping with named keys.
#[derive(Debug)]
pub(crate) struct Element {
    /// The name of its definition in the schema.
    pub(crate) name: &'static str,
    /// What it is for: sentences.
    pub(crate) doc: &'static str,
    /// Optional keys of which at least one must be there; empty: no such rule.
    pub(crate) any_of: &'static [&'static str],
    /// In the order in which a person would write them.
    pub(crate) keys: &'static [About],
}

/// One key of an element. Texts under `example` and in [`Need::Default`] are YAML.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// As it is typed.
    pub(crate) name: &'static str,
    /// What it does: sentences.
    pub(crate) doc: &'static str,
    /// What stands behind it.
    pub(crate) shape: Shape,
    /// What its absence means.
    pub(crate) need: Need,
    /// Optional, but nearly always written: the reference shows it live.
    pub(crate) typical: bool,
    /// For a value without default, and for a list.
    pub(crate) example: &'static str,
    /// Smallest and largest value, for numbers, durations and sizes.
    pub(crate) range: Option<(&'static str, &'static str)>,
    /// The keys, this one among them, of which exactly one is written; the first stands live in the reference. Empty: it is
    /// not one of several.
    pub(crate) one_of: &'static [&'static str],
    /// The key without which this one may not stand; empty: it may always.
    pub(crate) with: &'static str,
}

/// What the absence of a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A finding.
    Required,
    /// What the doc says.
    Optional,
    /// The same as if this had been written.
    Default {
        /// YAML.
        text: &'static str,
        /// Why this and nothing else; empty where the value's own keys give their reasons.
        because: &'static str,
    },
    /// Its presence is a finding: the feature is not built yet.
    NotYet,
}

/// What kind of value stands behind a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A mapping.
    Map(&'static Element),
    /// At least one of these, unless `empty`.
    List {
        /// Of what.
        of: &'static Shape,
        /// Whether none is a value too.
        empty: bool,
    },
    /// Text with a grammar of its own.
    Text {
        /// In words, after "wanted".
        wanted: &'static str,
        /// What every valid text matches (ECMA 262), for editors; empty: anything.
        pattern: &'static str,
    },
    /// One of these.
    Words(&'static [Word]),
    /// One of these, or a mapping; what its element's doc says stands before it.
    WordOrMap(&'static [Word], &'static Element),
    /// A whole number.
    Count,
    /// Yes or no.
    Flag,
    /// Such as `10s`.
    Duration,
    /// Such as `64KiB`.
    Size,
    /// Not described yet.
    Later,
}

/// One of the words that a key may have as its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    /// As it is typed.
    pub(crate) text: &'static str,
    /// What it does.
    pub(crate) doc: &'static str,
    /// Whether that is built.
    pub(crate) built: bool,
}

impl Element {
    /// The key of that name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static About> {
        self.keys.iter().find(|about| about.name == name)
    }

    /// The built keys of every choice between several, each choice once.
    pub(crate) fn choices(&self) -> Vec<Vec<&'static About>> {
        let built = |name: &&str| self.key(name).filter(|about| about.need != Need::NotYet);
        let first = |about: &&About| about.one_of.first() == Some(&about.name);
        self.keys
            .iter()
            .filter(first)
            .map(|about| about.one_of.iter().filter_map(built).collect())
            .collect()
    }

    /// The key that was probably meant by a name that is none.
    pub(crate) fn nearest(&self, name: &str) -> Option<&'static About> {
        nearest(name, self.keys.iter().map(|about| about.name)).and_then(|name| self.key(name))
    }
}

/// The word that was probably meant: the nearest by spelling, if it is near at all. Case, `-` and `_` do not count.
pub(crate) fn nearest<'w>(meant: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    /// What is longer than every key by far is no misspelling, and would cost.
    const BYTES_MAX: usize = 64;
    if meant.len() > BYTES_MAX {
        return None;
    }
    let meant = folded(meant);
    words
        .map(|word| (distance(&meant, &folded(word)), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(one: &[char], two: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for i in 1..=one.len() {
        let mut next = vec![i];
        for j in 1..=two.len() {
            let replaced = row[j - 1] + usize::from(one[i - 1] != two[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == two[j - 2] && one[i - 2] == two[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        const WORDS: [&str; 7] = [
            "trustDomain",
            "listen",
            "app",
            "name",
            "protocol",
            "header",
            "headers",
        ];
        for (typed, meant) in [
            ("trustdomain", Some("trustDomain")),
            ("trust_domain", Some("trustDomain")),
            ("trust-domian", Some("trustDomain")),
            ("lisen", Some("listen")),
            ("listne", Some("listen")),
            ("nmae", Some("name")),
            ("ap", Some("app")),
            ("headres", Some("headers")),
            ("protcol", Some("protocol")),
            ("port", None),
            ("", None),
            ("completelyDifferent", None),
        ] {
            assert_eq!(nearest(typed, WORDS.into_iter()), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), WORDS.into_iter()), None);
    }
}
