//! Why something that was open was ended.

use policy::Denied;
use std::sync::Arc;

/// Policy allowed it, and does not any more.
pub(crate) const POLICY_CHANGED: &str = "policy_changed";
/// The service that it goes to is gone, or is another one.
pub(crate) const SERVICE_CHANGED: &str = "service_changed";

/// Why something that is open must end now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    /// A label that never changes.
    pub(crate) reason: &'static str,
    /// The rule to look at, if it was policy.
    pub(crate) rule: Option<Arc<str>>,
    /// For the operator.
    pub(crate) explanation: Box<str>,
}

impl Over {
    /// For a reason that is no rule's.
    pub(crate) fn because(reason: &'static str, explanation: impl Into<Box<str>>) -> Self {
        Self {
            reason,
            rule: None,
            explanation: explanation.into(),
        }
    }
    /// Policy said yes, and says no.
    pub(crate) fn denied(denied: &Denied) -> Self {
        Self {
            rule: denied.rule_to_look_at().cloned(),
            ..Self::because(POLICY_CHANGED, denied.to_string())
        }
    }
    /// Who is at the other end is not believed any more.
    pub(crate) fn disbelieved(refused: &identity::Refused) -> Self {
        let explanation = format!("its certificate is not believed any more: {refused}");
        Self::because(refused.reason(), explanation)
    }
    /// What it goes to is not where the configuration leads.
    pub(crate) fn service_changed(what: &str) -> Self {
        Self::because(SERVICE_CHANGED, what)
    }
}
