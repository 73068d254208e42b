//! Strings that borrow from the JSON they were read from.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor},
};

/// A string that borrows from the text it was read from unless it had escapes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An owned copy that lives as long as wanted.
    pub fn into_static(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl<'a> From<Text<'a>> for Cow<'a, str> {
    fn from(text: Text<'a>) -> Self {
        text.0
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Labels or annotations: a map of strings, sorted by key.
///
/// A value that is not a string is an error that names its key: Argo CD, depending on its version,
/// then reports a comparison error or loses every annotation of the object (argo-cd#13730, #3122).
/// An explicit `null` is the empty string, as the API server reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMap<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'a> StringMap<'a> {
    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(have, _)| have.as_str().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A map of `entries`.
    ///
    /// # Errors
    ///
    /// The first key that occurs twice.
    pub fn from_entries(mut entries: Vec<(Text<'a>, Text<'a>)>) -> Result<Self, Text<'a>> {
        entries.sort();
        for pair in entries.windows(2) {
            if let [(first, _), (second, _)] = pair
                && first == second
            {
                return Err(first.clone());
            }
        }
        Ok(Self(entries))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for StringMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;

        impl<'de> Visitor<'de> for MapVisitor {
            type Value = StringMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(4).min(64));
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let Value(value) = map.next_value()?;
                    let value =
                        value.map_err(|kind| A::Error::custom(NotAString { key: &key, kind }))?;
                    entries.push((key, value));
                }
                StringMap::from_entries(entries)
                    .map_err(|key| A::Error::custom(format_args!("duplicate key `{key}`")))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(StringMap::default())
            }
        }

        deserializer.deserialize_any(MapVisitor)
    }
}

/// What the message of a value that is no string ends with, where quotes would make it one.
pub(super) const QUOTES: &str = "not a string: put it in quotes";

struct NotAString<'k> {
    key: &'k str,
    kind: &'static str,
}

impl fmt::Display for NotAString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of `{}` is {}, {QUOTES}", self.key, self.kind)
    }
}

/// A value that should be a string; what it is instead, never its text.
struct Value<'a>(Result<Text<'a>, &'static str>);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Value(Ok(text.into())))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value(Ok(text.to_owned().into())))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Value(Ok("".into())))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Value(Err("a boolean")))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Value(Err("a number")))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Value(Err("a number")))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Value(Err("a number")))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                _: A,
            ) -> Result<Self::Value, A::Error> {
                Err(A::Error::invalid_type(Unexpected::Seq, &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(A::Error::invalid_type(Unexpected::Map, &self))
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_borrows_unless_escaped() {
        let plain: Text<'_> = serde_json::from_str(r#""migrate""#).unwrap();
        assert!(matches!(plain.0, Cow::Borrowed("migrate")));
        let escaped: Text<'_> = serde_json::from_str(r#""a\nb""#).unwrap();
        assert_eq!(escaped, "a\nb");
    }

    #[test]
    fn a_number_is_refused_by_key_and_null_is_empty() {
        let error = serde_json::from_str::<StringMap<'_>>(r#"{"wave": -1}"#).unwrap_err();
        assert!(error.to_string().starts_with("the value of `wave` is a number, not a string"));
        let map: StringMap<'_> = serde_json::from_str(r#"{"a": null}"#).unwrap();
        assert_eq!(map.get("a"), Some(""));
    }

    #[test]
    fn a_duplicate_key_is_refused() {
        let error = serde_json::from_str::<StringMap<'_>>(r#"{"a":"1","a":"2"}"#).unwrap_err();
        assert!(error.to_string().starts_with("duplicate key `a`"), "{error}");
    }
}
