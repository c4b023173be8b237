//! Nouns of a document, and lists and mappings of forms.

use crate::describe::{About, Element, Shape};
use crate::key::Form;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::marker::PhantomData;

/// A noun of a document: described, read and shown in one place.
pub(crate) trait Noun: Sized {
    const ELEMENT: &'static Element;
    fn read(value: &Value<'_>) -> Read<Self>;
    fn show(&self) -> Json;
}

/// A mapping.
pub(crate) struct Map<N>(PhantomData<N>);

impl<N: Noun> Form for Map<N> {
    type Value = N;
    const SHAPE: Shape = Shape::Map(N::ELEMENT);
    fn read(value: &Value<'_>, _: &About) -> Read<N> {
        N::read(value)
    }
    fn show(noun: &N) -> Json {
        noun.show()
    }
}

/// A list with at least one item: an empty one is either a mistake or says what leaving the key out says.
pub(crate) struct List<F>(PhantomData<F>);
/// A list that may be empty.
pub(crate) struct MaybeEmpty<F>(PhantomData<F>);

impl<F: Form> Form for List<F> {
    type Value = Vec<F::Value>;
    const SHAPE: Shape = Shape::List {
        of: &F::SHAPE,
        empty: false,
    };
    fn read(value: &Value<'_>, about: &About) -> Read<Self::Value> {
        let items = MaybeEmpty::<F>::read(value, about)?;
        if items.is_empty() {
            return Err(value.note("is an empty list", "name at least one, or remove the key"));
        }
        Ok(items)
    }
    fn show(items: &Self::Value) -> Json {
        MaybeEmpty::<F>::show(items)
    }
}

impl<F: Form> Form for MaybeEmpty<F> {
    type Value = Vec<F::Value>;
    const SHAPE: Shape = Shape::List {
        of: &F::SHAPE,
        empty: true,
    };
    fn read(value: &Value<'_>, about: &About) -> Read<Self::Value> {
        let read: Vec<Read<F::Value>> = value
            .items()?
            .iter()
            .map(|item| F::read(item, about))
            .collect();
        read.into_iter().collect()
    }
    fn show(items: &Self::Value) -> Json {
        items.iter().map(F::show).collect()
    }
}

/// A mapping as it is printed.
pub(crate) fn object(pairs: impl IntoIterator<Item = (String, Json)>) -> Json {
    Json::Object(pairs.into_iter().collect())
}
