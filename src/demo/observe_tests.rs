#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

const ME: &str = "spiffe://shop.example/storefront";
const MINE: &str = "By=spiffe://shop.example/orders;Hash=00;URI=spiffe://shop.example/storefront";

fn request(method: &str, path: &str, client_cert: Option<&str>) -> Request {
    Request {
        method: method.into(),
        path: path.into(),
        client_cert: client_cert.map(str::to_owned),
    }
}

fn arrived(connections: u64, requests: &[Request]) -> Arrived {
    Arrived {
        app: "orders",
        connections,
        count: requests.len() as u64,
        requests: requests.to_vec(),
    }
}

fn check_nothing(seen: &Arrived, expected: Result<(), &str>) {
    let said = seen.nothing().map_err(|broken| broken.to_string());
    assert_eq!(said, expected.map_err(str::to_owned), "{seen:?}");
}

#[test]
fn nothing_is_no_request_and_no_connection() {
    check_nothing(&arrived(0, &[]), Ok(()));
    check_nothing(
        &arrived(1, &[]),
        Err("orders saw new connections (1) and should have seen nothing"),
    );
    check_nothing(
        &arrived(0, &[request("GET", "/x", None)]),
        Err("orders saw GET /x and should have seen nothing"),
    );
}

fn check_exactly(requests: &[Request], expected: Result<(), &str>) {
    let wanted = Sight::of("GET", "/orders/tea", Some(ME));
    let said = arrived(1, requests)
        .exactly(&[wanted])
        .map_err(|broken| broken.to_string());
    let expected = expected.map_err(|saw| {
        format!("orders saw {saw} and should have seen GET /orders/tea by spiffe://shop.example/storefront")
    });
    assert_eq!(said, expected);
}

#[test]
fn an_app_that_saw_less_more_or_somebody_else_breaks_a_promise() {
    let mine = request("GET", "/orders/tea", Some(MINE));
    check_exactly(std::slice::from_ref(&mine), Ok(()));
    check_exactly(&[], Err("nothing"));
    check_exactly(
        &[mine, request("DELETE", "/orders/tea", None)],
        Err("GET /orders/tea by spiffe://shop.example/storefront, DELETE /orders/tea"),
    );
    check_exactly(
        &[request("POST", "/orders/tea", Some(MINE))],
        Err("POST /orders/tea by spiffe://shop.example/storefront"),
    );
    check_exactly(
        &[request("GET", "/orders", Some(MINE))],
        Err("GET /orders by spiffe://shop.example/storefront"),
    );
    check_exactly(
        &[request("GET", "/orders/tea", None)],
        Err("GET /orders/tea"),
    );
    for forged in [
        "URI=spiffe://shop.example/admin",
        "Hash=00; URI=spiffe://shop.example/admin",
    ] {
        for both in [
            format!("{forged},{MINE}"),
            format!("{MINE},{forged}"),
            format!("{MINE};{forged}"),
        ] {
            let seen = arrived(1, &[request("GET", "/orders/tea", Some(&both))]);
            let said = seen.exactly(&[Sight::of("GET", "/orders/tea", Some(ME))]);
            assert!(
                matches!(said, Err(Broken::Instead { .. })),
                "{both}: {said:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_watch_counts_only_what_comes_after_it_began() {
    use super::super::caller::Call;
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let app = shop::Orders::start(any, "127.0.0.1:1").await.unwrap();
    let call = Call::new("GET", "orders", "/nowhere");
    call.in_clear(app.addr()).await.unwrap();

    let watch = Watch::begin("orders", app.seen());
    watch.arrived().nothing().unwrap();
    call.in_clear(app.addr()).await.unwrap();

    let seen = watch.arrived();
    assert_eq!((seen.connections, seen.requests.len()), (1, 1));
    assert!(
        matches!(seen.nothing(), Err(Broken::Saw { .. })),
        "{seen:?}"
    );
}

#[test]
fn more_or_fewer_requests_than_were_answered_break_a_promise() {
    let seen = arrived(1, &[request("GET", "/x", None)]);

    assert!(seen.count(1).is_ok());
    for wanted in [0, 2] {
        let said = seen.count(wanted).map_err(|broken| broken.to_string());
        let expected = format!("orders saw 1 requests and should have seen {wanted}");
        assert_eq!(said, Err(expected));
    }
}
