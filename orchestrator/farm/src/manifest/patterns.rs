//! A string or several, and globs made of them.

use std::fmt;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// One string, or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strings(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, one: &str) -> Result<Strings, E> {
                Ok(Strings(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strings, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = list.next_element()? {
                    many.push(one);
                }
                Ok(Strings(many))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// Globs, of which any may match.
#[derive(Debug)]
pub struct Patterns {
    words: Vec<String>,
    set: GlobSet,
}

impl Patterns {
    /// Whether any matches.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.set.is_match(text)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Strings(words) = Strings::deserialize(deserializer)?;
        let mut set = GlobSetBuilder::new();
        for word in &words {
            set.add(Glob::new(word).map_err(de::Error::custom)?);
        }
        let set = set.build().map_err(de::Error::custom)?;
        Ok(Self { words, set })
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" or "))
    }
}
