//! The labels of a series, and how many values a label may have.
use crate::names::{Metric, OTHER};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{PoisonError, RwLock};

/// The values of a metric's labels, in the order of its row in the table, which also has their names.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    names: &'static [&'static str],
    values: Box<[Cow<'static, str>]>,
}

impl Labels {
    pub(super) fn new<const N: usize>(metric: &Metric, values: [Cow<'static, str>; N]) -> Self {
        debug_assert_eq!(metric.labels.len(), N, "{} has other labels", metric.name);
        Labels {
            names: metric.labels,
            values: Box::new(values),
        }
    }
}

// Within a family the names are always the same ones.
impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}
impl Eq for Labels {}
impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(&self.values) {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// The values that one label has had, up to a number.
#[derive(Debug)]
pub(super) struct Capped {
    seen: RwLock<HashSet<Box<str>>>,
    max: usize,
}

impl Capped {
    pub(super) fn new(max: usize) -> Self {
        Capped {
            seen: RwLock::default(),
            max,
        }
    }

    /// The value, or [`OTHER`] when it is a new one and there is no room. The empty value, which stands for none, is free.
    pub(super) fn admit(&self, value: &str) -> Cow<'static, str> {
        if value.is_empty() {
            return Cow::Borrowed("");
        }
        if self
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(value)
        {
            return Cow::Owned(value.to_owned());
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < self.max || seen.contains(value) {
            seen.insert(value.into());
            Cow::Owned(value.to_owned())
        } else {
            Cow::Borrowed(OTHER)
        }
    }
}
