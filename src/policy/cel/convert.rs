//! JSON as values of CEL.

use std::{borrow::Cow, collections::HashMap, fmt};

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{
    fields::Fields,
    reads::{Reads, Rules},
};
use crate::model::{
    Text,
    json::{Broken, Cursor},
};

/// The value that `json` is, with what `rules` read of it.
///
/// What they do not read is passed over and not there. A part that is not what they take it for, such as
/// a list where they read a field, is there as a whole: they fail on it as they would have.
pub(in crate::policy) fn read<'a>(
    json: &'a str,
    reads: &Reads,
    rules: Rules,
) -> Option<Box<dyn Val + 'a>> {
    let mut cursor = Cursor::new(json);
    let value = part(&mut cursor, reads, rules).ok()?;
    cursor.is_at_end().then_some(value)
}

/// The value of an object, of which the text of one field is known: where `rules` read nothing else, the rest
/// is not looked at.
pub(in crate::policy) fn read_by_field<'a>(
    json: &'a str,
    (name, field): (&'static str, Option<&'a str>),
    reads: &Reads,
    rules: Rules,
) -> Option<Box<dyn Val + 'a>> {
    let Some((field, reads)) = field.zip(reads.only_field(name, rules)) else {
        return read(json, reads, rules);
    };
    let value = read(field, reads, rules)?;
    Some(Box::new(Fields::new(vec![(name.into(), value)])))
}

/// The value that is next. Recurs as deep as a path of an expression is long.
fn part<'a>(
    cursor: &mut Cursor<'a>,
    reads: &Reads,
    rules: Rules,
) -> Result<Box<dyn Val + 'a>, Broken> {
    if !reads.is_looked_into(rules) {
        cursor.value()?;
        return Ok(Box::new(CelNull));
    }
    if !reads.is_whole(rules) {
        match reads.element(rules) {
            // A loop over a map goes through its keys, so there it needs them all.
            None if cursor.is_at_object() => return fields(cursor, reads, rules),
            Some(element) if cursor.is_at_list() => return elements(cursor, element, rules),
            _ => {}
        }
    }
    let Whole(value) = serde_json::from_str(cursor.value()?).map_err(|_error| Broken)?;
    Ok(value)
}

fn fields<'a>(
    cursor: &mut Cursor<'a>,
    reads: &Reads,
    rules: Rules,
) -> Result<Box<dyn Val + 'a>, Broken> {
    cursor.enter()?;
    let mut read = Vec::new();
    while let Some(key) = cursor.key()? {
        match reads.field(&key, rules) {
            Some(field) => read.push((key, part(cursor, field, rules)?)),
            None => drop(cursor.value()?),
        }
    }
    Ok(Box::new(Fields::new(read)))
}

fn elements<'a>(
    cursor: &mut Cursor<'a>,
    reads: &Reads,
    rules: Rules,
) -> Result<Box<dyn Val + 'a>, Broken> {
    cursor.enter_list()?;
    let mut list = Vec::new();
    while cursor.element()? {
        list.push(part(cursor, reads, rules)?);
    }
    Ok(Box::new(CelList::from(list)))
}

/// The value that `json` is.
pub(in crate::policy) fn value(json: serde_json::Value) -> Option<Box<dyn Val>> {
    Whole::deserialize(json).ok().map(|Whole(value)| value)
}

/// JSON as Kubernetes' own CEL reads it: a whole number is an `int`. The reader of JSON bounds how
/// deep it nests.
struct Whole<'a>(Box<dyn Val + 'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Whole<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Whole<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(whole(CelNull))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(whole(CelBool::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(whole(CelInt::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => Ok(whole(CelInt::from(value))),
            Err(_) => Ok(whole(CelUInt::from(value))),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(whole(CelDouble::from(value)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(whole(CelString::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(whole(CelString::from(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(whole(CelString::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Whole(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(whole(CelList::from(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = HashMap::new();
        while let Some((key, Whole(value))) = entries.next_entry::<Text<'de>, Whole<'de>>()? {
            map.insert(CelMapKey::String(Cow::from(key).into()), value);
        }
        Ok(whole(CelMap::from(map)))
    }
}

fn whole<'a>(value: impl Val + 'a) -> Whole<'a> {
    Whole(Box::new(value))
}
