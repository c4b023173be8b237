//! What the record keeps, as operators read it.

use super::refused::Refused;
use crate::record::Ground;
use crate::store::{self, Page};
use crate::template::Serial;
use api::admin::{Contested, ListPage, Listed};

/// One certificate.
pub(super) fn listed(kept: &store::Listed) -> Listed {
    let entry = &kept.entry;
    let uid = match entry.ground {
        Ground::Operator { uid } => Some(uid.into()),
        Ground::JoinToken | Ground::Renewal { .. } | Ground::Grace { .. } => None,
    };
    Listed {
        serial: entry.serial.to_string(),
        id: kept.id.to_string(),
        index: entry.index,
        issued_unix_s: entry.issued_at_s,
        not_after_unix_s: entry.validity.not_after_s,
        ground: entry.ground.label().to_owned(),
        parent: entry.ground.parent().map(|parent| parent.to_string()),
        uid,
        instance: kept.instance.as_str().to_owned(),
        replaced: kept.replaced,
    }
}

/// Some certificates, and the place where they end.
pub(super) fn page(kept: &Page) -> ListPage {
    ListPage {
        listed: kept.listed.iter().map(listed).collect(),
        next: kept.next.map(|(end_s, index)| format!("{end_s}.{index}")),
    }
}

/// The place that a page ended at.
pub(super) fn place(text: &str) -> Result<(u64, u64), Refused> {
    let (end_s, index) = text.split_once('.').ok_or(Refused::Place)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| Refused::Place);
    Ok((number(end_s)?, number(index)?))
}

/// A serial as it is printed.
pub(super) fn serial(text: &str) -> Result<Serial, Refused> {
    Serial::from_hex(text).ok_or(Refused::Serial)
}

/// A certificate that two seem to hold.
pub(super) fn contested(kept: &store::Contested) -> Contested {
    Contested {
        id: kept.id.to_string(),
        serial: kept.serial.to_string(),
        successor: kept.successor.to_string(),
        refused_key_sha256: kept.refused_key.to_string(),
        first_unix_s: kept.first_s,
        last_unix_s: kept.last_s,
        attempts: kept.attempts,
    }
}
