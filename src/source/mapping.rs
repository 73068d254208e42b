//! Values into types, where a mapping is never read from a list.
//!
//! Types that derive `Deserialize` are read from lists too, field after field, and from an empty list
//! as if nothing were said (<https://github.com/serde-rs/serde/issues/1587>). Kubernetes reads them
//! from mappings alone: `spec: []` is a mistake, not a `spec` without fields.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, Visitor},
};

/// Reads JSON into a type.
///
/// # Errors
///
/// As [`serde_json::from_str`], and for a list in place of a mapping.
pub(crate) fn from_str<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = T::deserialize(Mappings(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// A deserializer, and everything inside of it, that refuses a list where a type has named fields. What an
/// enumeration holds is left as it is.
#[derive(Debug)]
pub(crate) struct Mappings<T>(pub(crate) T);

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*) with $visitor:ident;)*) => {
        $(
            fn $method<V: Visitor<'de>>(
                self,
                $($name: $type,)*
                visitor: V,
            ) -> Result<V::Value, D::Error> {
                self.0.$method($($name,)* $visitor(visitor))
            }
        )*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Mappings<D> {
    type Error = D::Error;

    forward! {
        deserialize_any() with Mappings;
        deserialize_bool() with Mappings;
        deserialize_i8() with Mappings;
        deserialize_i16() with Mappings;
        deserialize_i32() with Mappings;
        deserialize_i64() with Mappings;
        deserialize_i128() with Mappings;
        deserialize_u8() with Mappings;
        deserialize_u16() with Mappings;
        deserialize_u32() with Mappings;
        deserialize_u64() with Mappings;
        deserialize_u128() with Mappings;
        deserialize_f32() with Mappings;
        deserialize_f64() with Mappings;
        deserialize_char() with Mappings;
        deserialize_str() with Mappings;
        deserialize_string() with Mappings;
        deserialize_bytes() with Mappings;
        deserialize_byte_buf() with Mappings;
        deserialize_option() with Mappings;
        deserialize_unit() with Mappings;
        deserialize_unit_struct(name: &'static str) with Mappings;
        deserialize_newtype_struct(name: &'static str) with Mappings;
        deserialize_seq() with Mappings;
        deserialize_tuple(length: usize) with Mappings;
        deserialize_tuple_struct(name: &'static str, length: usize) with Mappings;
        deserialize_map() with Mappings;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) with Named;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) with Mappings;
        deserialize_identifier() with Mappings;
        deserialize_ignored_any() with Mappings;
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(
            fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
                self.0.$method(value)
            }
        )*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Mappings<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128,
        visit_f64: f64, visit_char: char, visit_str: &str, visit_borrowed_str: &'de str,
        visit_string: String, visit_bytes: &[u8], visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Mappings(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Mappings(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Mappings(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Mappings(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, value: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(value)
    }
}

/// Visits a type with named fields: anything but a mapping is of another type.
struct Named<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nobody knows our types by their names.
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Mappings(map))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Mappings<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Mappings(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Mappings<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Mappings(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Mappings<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Mappings(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Mappings(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{json, value::RawValue};

    use super::*;

    #[derive(Debug, PartialEq, Eq, Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        a: i64,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Outer<'a> {
        #[serde(borrow)]
        text: Option<&'a str>,
        one: Option<Inner>,
        list: Vec<Inner>,
        map: BTreeMap<String, Inner>,
        numbers: Vec<i64>,
        pair: (i64, bool),
        #[serde(borrow)]
        raw: Option<&'a RawValue>,
    }

    #[test]
    fn what_is_written_as_it_should_be_is_read_as_ever() {
        let json = r#"{"text": "b", "one": {"a": 1}, "list": [{}, {"a": 2}], "map": {"c": {"a": 3}},
            "numbers": [4, 5], "pair": [6, true], "raw": [7], "other": [[]]}"#;
        let outer: Outer<'_> = from_str(json).unwrap();
        assert_eq!(outer.text, Some("b"));
        assert_eq!(outer.one, Some(Inner { a: 1 }));
        assert_eq!(outer.list, [Inner { a: 0 }, Inner { a: 2 }]);
        assert_eq!(outer.map["c"], Inner { a: 3 });
        assert_eq!(outer.numbers, [4, 5]);
        assert_eq!(outer.pair, (6, true));
        assert_eq!(outer.raw.map(RawValue::get), Some("[7]"));
        assert!(from_str::<Inner>("{} {}").unwrap_err().to_string().contains("trailing"));
    }

    #[test]
    fn a_list_is_no_mapping_wherever_it_stands() {
        for value in [
            json!([]),
            json!(["b"]),
            json!({"one": []}),
            json!({"one": [1]}),
            json!({"list": [[]]}),
            json!({"list": [{}, [1]]}),
            json!({"map": {"c": []}}),
        ] {
            let text = value.to_string();
            let error = from_str::<Outer<'_>>(&text).unwrap_err();
            assert!(
                error.to_string().starts_with("invalid type: sequence, expected a mapping"),
                "{text}"
            );
            // Without any of this it is read.
            assert!(serde_json::from_str::<Outer<'_>>(&text).is_ok(), "{text}");
        }
    }
}
