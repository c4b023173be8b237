//! The tricks of `tests/corpus` against an app of ours: nothing that is denied reaches it, and what is no trick does.

use crate::support::app::{HttpApp, Seen};
use crate::support::client::Client;
use crate::support::mesh::{Domain, Member};
use crate::support::sidecar::Sidecar;
use crate::support::tls;
use crate::support::tricks::{About, CHOICES, POLICY, Trick, all, listener, may_be_admin, send};

/// `orders`, with a listener for every choice of `paths`.
struct Orders {
    shop: Domain,
    app: HttpApp,
    sidecar: Sidecar,
    _member: Member,
}

impl Orders {
    async fn start() -> Self {
        let (shop, app) = (Domain::new("shop.example"), HttpApp::start().await);
        let member = shop.member("orders");
        member.policy(POLICY);
        let listeners = CHOICES.map(|paths| listener(paths, app.addr.port(), paths));
        member.configure(&format!(
            "inbound:\n{}policy: {{ file: policy.yaml }}\n",
            listeners.concat()
        ));
        let sidecar = member.start();
        Orders {
            shop,
            app,
            sidecar,
            _member: member,
        }
    }

    async fn send(&self, trick: &Trick, listener: &str, version: u8) {
        let protocol = ["http/1.1", "h2"][usize::from(version - 1)];
        let config = tls::client(Some(&self.shop.svid("storefront")), &[protocol]);
        let connected = Client::connect_tls(self.sidecar.at(listener), config, "orders").await;
        send(&mut connected.unwrap(), trick, version).await;
    }

    /// Sends all of a corpus; what the app saw of it.
    async fn send_all(&self, tricks: &[Trick], listener: &str, version: u8) -> Vec<Seen> {
        let before = self.app.seen().len();
        let lane = async |lane| {
            let possible = tricks.iter().filter(|trick| trick.is_in(version));
            for trick in possible.skip(lane).step_by(4) {
                self.send(trick, listener, version).await;
            }
        };
        tokio::join!(lane(0), lane(1), lane(2), lane(3));
        self.app.seen().split_off(before)
    }
}

fn of<'a>(seen: &'a [Seen], trick: &Trick) -> Option<&'a Seen> {
    let number = trick.line.to_string();
    seen.iter()
        .find(|seen| seen.header("x-case") == Some(number.as_str()))
}

/// Whether no reader has anything to resolve, cut or decode in it.
fn has_one_meaning(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default().to_lowercase();
    let odd = [
        "//", "\\", ";", "%2f", "%5c", "%3b", "%25", "%0", "%1", "%7f",
    ];
    let mut segments = path.split('/');
    !odd.iter().any(|odd| path.contains(odd))
        && !segments.any(|segment| matches!(&*segment.replace("%2e", "."), "." | ".."))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trick_with_a_path_leads_around_a_rule() {
    let tricks = all(About::Paths);
    let denied = tricks.iter().filter(|trick| !trick.passes).count();
    assert!(denied >= 300, "{denied} tricks");
    let orders = Orders::start().await;
    for listener in CHOICES {
        for version in [1, 2] {
            let seen = orders.send_all(&tricks, listener, version).await;
            for seen in &seen {
                let told = format!("{listener}, HTTP/{version}: {seen:?}");
                assert!(!may_be_admin(&seen.target), "{told}");
            }
            for trick in tricks.iter().filter(|trick| trick.is_in(version)) {
                let came = of(&seen, trick);
                let told = format!("{listener}, HTTP/{version}: {trick:?}: {came:?}");
                match (trick.passes, listener) {
                    (true, _) => {
                        let came = came.map(|came| came.target.as_bytes());
                        assert_eq!(came, Some(trick.subject()), "{told}");
                    }
                    // What could be another path to another reader was refused, or went on as what it was decided to be.
                    (false, "strict" | "canonical") => {
                        let one = came.is_none_or(|came| has_one_meaning(&came.target));
                        assert!(one, "{told}");
                    }
                    (false, _) => {}
                }
            }
            let came = seen.len();
            println!("{listener}, HTTP/{version}: {came} reached the app, none denied");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trick_with_a_host_leads_around_a_rule() {
    let tricks = all(About::Hosts);
    let denied = tricks.iter().filter(|trick| !trick.passes).count();
    assert!(denied >= 100, "{denied} tricks");
    let orders = Orders::start().await;
    for version in [1, 2] {
        let seen = orders.send_all(&tricks, "strict", version).await;
        for trick in tricks.iter().filter(|trick| trick.is_in(version)) {
            let came = of(&seen, trick);
            let told = format!("HTTP/{version}: {trick:?}: {came:?}");
            assert_eq!(came.is_some(), trick.passes, "{told}");
        }
    }
}
