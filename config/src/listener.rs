//! That no two listeners of a document meet.

use crate::Address;
use crate::form::{As, Text};
use crate::key::Key;
use crate::read::Value;
use crate::yaml::Place;

/// A listener: where its address is written (the document, if it is not), what it is of, its address.
pub(crate) struct Listener<'d> {
    pub(crate) value: Value<'d>,
    pub(crate) at: String,
    pub(crate) written: bool,
    pub(crate) address: Address,
}

impl<'d> Listener<'d> {
    /// The listener of a section that has one in any case, by its `listen` or by default. `None`: the address has its finding.
    pub(crate) fn of_section<F: Text<Value = Address>>(
        root: &Value<'d>,
        section: &str,
        key: &Key<As<F>>,
    ) -> Option<Self> {
        let holder = root.get(section);
        let address = match &holder {
            Some(holder) => holder.peek(key),
            None => key.fallback(),
        };
        let value = holder.and_then(|holder| holder.get(key.about.name));
        Some(Listener {
            written: value.is_some(),
            value: value.unwrap_or_else(|| root.clone()),
            at: section.to_owned(),
            address: address?,
        })
    }
}

/// Notes two listeners with one address.
pub(crate) fn addresses_differ(listeners: &[Listener<'_>]) {
    for (n, one) in listeners.iter().enumerate() {
        let Some(two) = listeners[n + 1..]
            .iter()
            .find(|two| one.address.collides(&two.address))
        else {
            continue;
        };
        // The finding stands at what was written, and there at the later one.
        let place = |listener: &Listener<'_>| {
            if listener.written {
                listener.value.node.place
            } else {
                Place::default()
            }
        };
        let (later, earlier) = if place(two) > place(one) {
            (two, one)
        } else {
            (one, two)
        };
        let default = if earlier.written { "" } else { " by default" };
        let what = format!(
            "`{}` meets `{}`, where {} listens{default}",
            later.address, earlier.address, earlier.at
        );
        later
            .value
            .note(what, "give each listener an address of its own");
    }
}
