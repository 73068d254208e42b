//! Some of the fields of an object.

use std::{borrow::Cow, sync::Arc};

use cel::{
    ExecutionError,
    common::{
        traits::Indexer,
        types::{CelString, MAP_TYPE, Type},
        value::{CowVal, Val},
    },
};

/// A map of which only single fields are asked for, as what expressions read of it tells: it is neither
/// compared nor counted nor gone through.
///
/// The interpreter copies each element that a loop comes to. To copy this takes a counter and a box, and to
/// make it takes no hashes.
#[derive(Clone, Debug)]
pub(super) struct Fields<'v>(Arc<Vec<Field<'v>>>);

pub(super) type Field<'v> = (Cow<'v, str>, Box<dyn Val + 'v>);

impl<'v> Fields<'v> {
    /// Of a name that stands twice the last one counts, as for the API server.
    pub(super) fn new(mut fields: Vec<Field<'v>>) -> Self {
        // The sort is stable: of equal names the last one stays the last.
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self(Arc::new(fields))
    }

    fn find(&self, name: &str) -> Option<&(dyn Val + 'v)> {
        let after = self.0.partition_point(|(known, _)| known.as_ref() <= name);
        let (known, value) = self.0.get(after.checked_sub(1)?)?;
        (known.as_ref() == name).then_some(value.as_ref())
    }
}

impl Val for Fields<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Indexer for Fields<'_> {
    fn get<'b, 'w>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let Some(name) = index.downcast_ref::<CelString<'_>>() else {
            let got = index.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "map key".to_owned() });
        };
        let missing = || ExecutionError::NoSuchKey(Arc::new(name.inner().to_owned()));
        self.find(name.inner()).map(CowVal::Borrowed).ok_or_else(missing)
    }

    fn steal<'w>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use cel::common::types::CelInt;

    use super::*;

    #[test]
    fn a_field_is_found_by_its_name_and_of_two_the_last() {
        let value = |it: i64| -> Box<dyn Val> { Box::new(CelInt::from(it)) };
        let named = |(name, it): (&'static str, i64)| (Cow::Borrowed(name), value(it));
        let fields = Fields::new([("b", 1), ("a", 2), ("b", 3), ("c", 4)].map(named).to_vec());
        let copy = fields.clone_as_boxed();
        for (name, want) in
            [("a", Some(2)), ("b", Some(3)), ("c", Some(4)), ("", None), ("d", None)]
        {
            let got = copy.as_indexer().unwrap().get(&CelString::from(name));
            match (got, want) {
                (Ok(got), Some(want)) => assert!(got.equals(&CelInt::from(want)), "{name}"),
                (Err(ExecutionError::NoSuchKey(key)), None) => assert_eq!(*key, name),
                (got, want) => panic!("{name}: {got:?} and no {want:?}"),
            }
        }
        let got = fields.get(&CelInt::from(1));
        assert!(matches!(got, Err(ExecutionError::UnexpectedType { .. })), "{got:?}");
    }
}
