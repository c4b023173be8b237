//! Numbers, sizes and durations within the range of their key; yes and no.

use crate::describe::{About, Shape};
use crate::key::Form;
use crate::notes::Read;
use crate::read::Value;
use crate::unit;
use crate::yaml::{Content, shown};
use serde_json::Value as Json;

/// A whole number within the key's range.
pub(crate) struct Count;

impl Form for Count {
    type Value = usize;
    const SHAPE: Shape = Shape::Count;
    fn read(value: &Value<'_>, about: &About) -> Read<usize> {
        let wanted = wanted_between("a whole number", about);
        match &value.node.content {
            Content::Scalar { text, plain: true }
                if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) =>
            {
                let count = text.parse().unwrap_or(usize::MAX);
                in_range(value, text, count, about, &wanted, |text| text.parse().ok())
            }
            _ => Err(value.wrong_kind(&wanted)),
        }
    }
    fn show(count: &usize) -> Json {
        (*count).into()
    }
}

/// Yes or no.
pub(crate) struct Flag;

impl Form for Flag {
    type Value = bool;
    const SHAPE: Shape = Shape::Flag;
    fn read(value: &Value<'_>, _: &About) -> Read<bool> {
        match &value.node.content {
            Content::Scalar { text, plain: true } if text == "true" => Ok(true),
            Content::Scalar { text, plain: true } if text == "false" => Ok(false),
            _ => Err(value.wrong_kind("`true` or `false`")),
        }
    }
    fn show(yes: &bool) -> Json {
        (*yes).into()
    }
}

/// A size within the key's range; bytes.
pub(crate) struct Size;

impl Form for Size {
    type Value = usize;
    const SHAPE: Shape = Shape::Size;
    fn read(value: &Value<'_>, about: &About) -> Read<usize> {
        let wanted = wanted_between("a size such as `64KiB`", about);
        let bytes =
            |text: &str| unit::size(text).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let text = value.scalar(&wanted)?;
        let size = bytes(text).map_err(|error| {
            value.note(
                format!("{}: {error}", shown(text)),
                format!("wanted {wanted}"),
            )
        })?;
        in_range(value, text, size, about, &wanted, |text| bytes(text).ok())
    }
    fn show(bytes: &usize) -> Json {
        unit::size_text(*bytes as u64).into()
    }
}

/// A duration within the key's range.
pub(crate) struct Duration;

impl Form for Duration {
    type Value = std::time::Duration;
    const SHAPE: Shape = Shape::Duration;
    fn read(value: &Value<'_>, about: &About) -> Read<std::time::Duration> {
        let wanted = wanted_between("a duration such as `10s`", about);
        let text = value.scalar(&wanted)?;
        let duration = unit::duration(text).map_err(|error| {
            value.note(
                format!("{}: {error}", shown(text)),
                format!("wanted {wanted}"),
            )
        })?;
        in_range(value, text, duration, about, &wanted, |text| {
            unit::duration(text).ok()
        })
    }
    fn show(duration: &std::time::Duration) -> Json {
        unit::duration_text(*duration).into()
    }
}

fn wanted_between(kind: &str, about: &About) -> String {
    match about.range {
        Some((least, most)) => format!("{kind} from {least} to {most}"),
        None => kind.into(),
    }
}

fn in_range<T: PartialOrd>(
    value: &Value<'_>,
    text: &str,
    read: T,
    about: &About,
    wanted: &str,
    bound: impl Fn(&str) -> Option<T>,
) -> Read<T> {
    let Some((least, most)) = about.range else {
        return Ok(read);
    };
    if bound(least).is_some_and(|least| read < least) {
        return Err(value.note(
            format!("{} is too small", shown(text)),
            format!("wanted {wanted}"),
        ));
    }
    if bound(most).is_some_and(|most| read > most) {
        return Err(value.note(
            format!("{} is too large", shown(text)),
            format!("wanted {wanted}"),
        ));
    }
    Ok(read)
}
