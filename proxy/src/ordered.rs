//! Fields of a head, removed so that the others stay in their order.
//!
//! [`HeaderMap::remove`] moves the last field to the place of the one that it removes. The order of fields of different names
//! means nothing (RFC 9110 §5.3), and a proxy should not change it all the same: scripts and devices read heads line by line.

use http::header::{HeaderMap, HeaderName};

/// Removes every field whose name is `gone`. One pass where there is none, or where nothing else follows them, as is so of what
/// sidecars add for each other; a map anew otherwise.
pub(crate) fn remove(headers: &mut HeaderMap, gone: impl Fn(&HeaderName) -> bool) {
    while let Some(last) = last(headers).filter(|name| gone(name)) {
        let last = last.clone();
        headers.remove(last);
    }
    if headers.keys().any(&gone) {
        *headers = without(std::mem::take(headers), gone);
    }
}

fn last(headers: &HeaderMap) -> Option<&HeaderName> {
    let before = headers.keys_len().checked_sub(1)?;
    headers.keys().nth(before)
}

fn without(headers: HeaderMap, gone: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    let mut of = None;
    for (name, value) in headers {
        // Further values of a name come without it.
        if let Some(name) = name {
            of = (!gone(&name)).then_some(name);
        }
        if let Some(name) = &of {
            kept.append(name, value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[track_caller]
    fn check(before: &[&'static str], gone: &[&str], after: &[&str]) {
        let mut headers = HeaderMap::new();
        for (at, name) in before.iter().enumerate() {
            headers.append(*name, HeaderValue::from(at));
        }
        remove(&mut headers, |name| gone.contains(&name.as_str()));
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, after, "{before:?} without {gone:?}");
        for name in after {
            let places: Vec<_> = headers.get_all(*name).iter().cloned().collect();
            let came = before.iter().enumerate().filter(|(_, it)| *it == name);
            let came: Vec<_> = came.map(|(at, _)| HeaderValue::from(at)).collect();
            assert_eq!(places, came, "values of {name} of {before:?}");
        }
    }

    #[test]
    fn what_stays_stays_in_its_order() {
        check(&[], &["a"], &[]);
        check(&["a", "b", "c"], &[], &["a", "b", "c"]);
        check(&["a", "b", "c"], &["a"], &["b", "c"]);
        check(&["a", "b", "c", "d"], &["b", "d"], &["a", "c"]);
        check(&["a", "b", "c", "d"], &["c", "d"], &["a", "b"]);
        check(&["a", "b", "c"], &["a", "b", "c"], &[]);
        check(&["a", "b", "b", "c", "b"], &["a"], &["b", "b", "b", "c"]);
        check(&["a", "b", "c", "b"], &["b"], &["a", "c"]);
    }
}
