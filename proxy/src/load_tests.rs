#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

/// Limits that are the defaults but for these.
fn limits(text: &str) -> Limits {
    let document = format!(
        "identity: {{ trustDomain: shop.example, files: {{ certificate: a, key: b, bundle: c }} }}\nlimits: {text}\n"
    );
    let path = std::path::Path::new("/nowhere/sidecar.yaml");
    config::sidecar::Sidecar::parse(&document, path)
        .unwrap()
        .limits
}

fn peer(name: &str) -> Who {
    Who::Peer(name.into())
}

fn room(all_max: usize, own_max: usize, callers: usize) -> Room {
    Room {
        all_max,
        own_max,
        callers,
    }
}

#[test]
fn probes_have_room_of_their_own_and_give_it_back() {
    let load = Load::new(&limits("{ inFlight: 1 }"));
    let holding = load.connect(peer("a")).unwrap();
    holding.holder().began().unwrap();

    let probes: Vec<_> = (0..PROBES_MAX).map(|_| load.probe().unwrap()).collect();

    assert_eq!(load.probe().err(), Some(Full::Probes));
    drop(probes);
    assert!(load.probe().is_ok());
}

#[test]
fn the_last_eighth_is_for_callers_with_fewer_than_their_share() {
    const NONE: usize = usize::MAX;
    for (room, all, own, expected) in [
        (room(800, NONE, 1), 799, 799, Ok(())),
        (room(800, NONE, 1), 800, 800, Err(Full::Requests)),
        // Alone, whatever was counted in between.
        (room(800, NONE, 1), 700, 701, Ok(())),
        (room(800, NONE, 2), 699, 699, Ok(())),
        (room(800, NONE, 2), 700, 700, Err(Full::RequestsShed)),
        (room(800, NONE, 2), 700, 351, Err(Full::RequestsShed)),
        (room(800, NONE, 2), 700, 350, Ok(())),
        (room(800, NONE, 2), 799, 0, Ok(())),
        (room(800, NONE, 2), 800, 0, Err(Full::Requests)),
        (room(800, 10, 2), 10, 10, Err(Full::RequestsOfIdentity)),
        (room(800, 10, 2), 9, 9, Ok(())),
        // So small that there is no eighth of it.
        (room(1, NONE, 5), 0, 0, Ok(())),
        (room(1, NONE, 5), 1, 1, Err(Full::Requests)),
    ] {
        assert_eq!(room.admit(all, own), expected, "{room:?} {all} {own}");
    }
}

#[test]
fn who_calls_alone_has_all_the_room_however_its_requests_interleave() {
    let load = Load::new(&limits("{ inFlight: 64 }"));
    let held = load.connect(peer("a")).unwrap();
    let holder = held.holder();
    // Never more than there is room for, and always in the last eighth.
    for _ in 0..60 {
        holder.began().unwrap();
    }

    let refused: Vec<Full> = std::thread::scope(|scope| {
        let calls = |_| {
            scope.spawn(|| {
                let called = (0..200_000).map(|_| holder.began().map(|()| holder.ended()));
                called.filter_map(Result::err).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(calls).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });

    assert_eq!(refused, []);
}

#[test]
fn a_request_without_room_leaves_no_trace() {
    let load = Load::new(&limits("{ inFlight: 1 }"));
    let held = load.connect(peer("a")).unwrap();
    let holder = held.holder();
    assert_eq!(holder.began(), Ok(()));
    for _ in 0..10 {
        assert_eq!(holder.began(), Err(Full::Requests));
    }
    holder.ended();
    assert_eq!(holder.began(), Ok(()), "the one place is free again");
}

#[test]
fn calls_from_the_app_have_room_of_their_own() {
    let load = Load::new(&limits("{ inFlight: 1, perIdentity: { inFlight: 1 } }"));
    let (caller, app) = (
        load.connect(peer("a")).unwrap(),
        load.connect(Who::App).unwrap(),
    );
    assert_eq!(caller.holder().began(), Ok(()));
    assert_eq!(app.holder().began(), Ok(()));
    assert_eq!(caller.holder().began(), Err(Full::RequestsOfIdentity));
    assert_eq!(app.holder().began(), Err(Full::Requests));
}

#[test]
fn one_identity_counts_all_its_connections_together() {
    let load = Load::new(&limits("{ perIdentity: { connections: 2, inFlight: 1 } }"));
    let (first, second) = (
        load.connect(peer("a")).unwrap(),
        load.connect(peer("a")).unwrap(),
    );
    let third = load.connect(peer("a")).map(drop);
    assert_eq!(third, Err(Full::ConnectionsOfIdentity));
    assert_eq!(first.holder().began(), Ok(()));
    assert_eq!(second.holder().began(), Err(Full::RequestsOfIdentity));
    assert!(load.connect(peer("b")).is_ok());
    drop(second);
    assert!(load.connect(peer("a")).is_ok());
}

#[tokio::test]
async fn who_holds_the_most_gives_up_its_oldest_connection() {
    let load = Load::new(&limits("{ connections: 10 }"));
    let many: Vec<_> = (0..10)
        .map(|_| load.connect(peer("many")).unwrap())
        .collect();
    let refused = load.connect(peer("many")).map(drop);
    assert_eq!(refused, Err(Full::Connections));

    let _other = load.connect(peer("other")).unwrap();

    many[0].asked_back().await;
}

#[test]
fn what_a_reload_allows_is_allowed_at_once() {
    let load = Load::new(&limits("{ inFlight: 1 }"));
    let held = load.connect(peer("a")).unwrap();
    assert_eq!(held.holder().began(), Ok(()));
    load.set(&limits("{ inFlight: 2 }"));
    assert_eq!(held.holder().began(), Ok(()));
    assert_eq!(held.holder().began(), Err(Full::Requests));
}

#[test]
fn who_left_is_no_caller_any_more() {
    let load = Load::new(&limits("{}"));
    drop((
        load.connect(peer("a")).unwrap(),
        load.connect(peer("a")).unwrap(),
    ));
    let _stays = load.connect(peer("b")).unwrap();
    assert_eq!(load.inbound.callers.load(Relaxed), 1);
    assert_eq!(load.holders().len(), 1);
}

#[test]
fn under_pressure_of_memory_who_holds_most_gets_no_more_and_others_do() {
    let load = Load::new(&limits("{}"));
    let many: Vec<_> = (0..32).map(|_| load.connect(peer("m")).unwrap()).collect();
    let few = load.connect(peer("f")).unwrap();

    load.press(Pressure::High);

    assert_eq!(many[0].holder().began(), Err(Full::MemoryShed));
    assert_eq!(load.connect(peer("m")).err(), Some(Full::MemoryShed));
    assert_eq!(few.holder().began(), Ok(()));
    assert!(load.connect(peer("f")).is_ok());
    assert!(load.connect(peer("newcomer")).is_ok());
    assert_eq!(load.ask_back(), 2);
    load.press(Pressure::Full);
    assert_eq!(few.holder().began(), Err(Full::Memory));
    assert_eq!(load.connect(peer("newcomer")).err(), Some(Full::Memory));
    load.press(Pressure::None);
    assert_eq!(many[0].holder().began(), Ok(()));
}

#[test]
fn under_pressure_who_holds_nothing_is_let_in() {
    let load = Load::new(&limits("{}"));
    load.press(Pressure::High);
    assert!(load.connect(peer("first")).is_ok());
}
