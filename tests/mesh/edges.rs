//! Edges of HTTP that must pass unchanged through the pair of sidecars: `100 Continue`, early answers, those that end by close,
//! trailers alone, streams that are reset, and halves that close.

use crate::support::client::{Client, listen};
use crate::support::http::{Flow, frame, h2, request, whole};
use crate::support::pair::Pair;
use crate::support::within;
use ::h2::Reason;
use bytes::Bytes;
use hyper::{Request, Response, Version};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const POST: &str =
    "POST /upload HTTP/1.1\r\nhost: orders\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_says_whether_a_body_that_waits_for_100_continue_is_wanted() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    // Connections are there: no handshake takes a part of the time that a body waits.
    let get = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    let (mut client, mut served) = pair.asked(&app, get).await;
    served.send(OK.as_bytes()).await.unwrap();
    client.answer().await.unwrap();
    client.send(POST.as_bytes()).await.unwrap();
    served.raw_head().await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), client.line()).await;
    assert!(early.is_err(), "the app has said nothing yet: {early:?}");
    served.send(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert_eq!(
        client.raw_head().await.unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send(b"body").await.unwrap();
    assert_eq!(served.bytes(4).await.unwrap(), b"body");
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");

    // Who is not wanted is told so, and nothing else.
    client.send(POST.as_bytes()).await.unwrap();
    served.raw_head().await.unwrap();
    let no = b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n";
    served.send(no).await.unwrap();
    let head = client.raw_head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 417 "), "{head}");
    assert_eq!(served.rest().await.unwrap_or_default(), b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_goes_to_an_app_that_never_says_100_continue() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    // One waits for the word, and gets ours; the other does not wait.
    let (mut client, mut served) = pair.asked(&app, POST).await;
    assert_eq!(
        client.raw_head().await.unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send(b"body").await.unwrap();
    assert_eq!(served.bytes(4).await.unwrap(), b"body");
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(format!("{POST}body").as_bytes()).await.unwrap();
    served.raw_head().await.unwrap();
    assert_eq!(served.bytes(4).await.unwrap(), b"body");
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_ends_by_close_arrives_whole_whichever_version_asked() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    for version in ["1.1", "1.0"] {
        let ask = format!("GET /old HTTP/{version}\r\nhost: orders\r\nconnection: close\r\n\r\n");
        let (mut client, mut served) = pair.asked(&app, &ask).await;
        served.send(b"HTTP/1.0 200 OK\r\n\r\nall ").await.unwrap();
        served.send(b"of it").await.unwrap();
        drop(served);
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "all of it"));
        let chunked = answer.header("transfer-encoding").is_some();
        assert_eq!(chunked, version == "1.1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_closed_tcp_stays_open_the_other_way() {
    let (app, at) = listen().await;
    let pair = Pair::around(SocketAddr::from(([127, 0, 0, 1], 1)), at);
    let mut client = Client::connect(pair.calling.at("db")).await;
    client.send(b"query").await.unwrap();
    client.half_close().await.unwrap();
    let mut served = Client::accept(&app).await;
    assert_eq!(served.rest().await.unwrap(), b"query");
    for row in ["one ", "two ", "three"] {
        served.send(row.as_bytes()).await.unwrap();
    }
    drop(served);
    assert_eq!(client.rest().await.unwrap(), b"one two three");
    // And the other way round.
    let mut client = Client::connect(pair.calling.at("db")).await;
    client.send(b"hello").await.unwrap();
    let mut served = Client::accept(&app).await;
    served.bytes(5).await.unwrap();
    served.half_close().await.unwrap();
    assert_eq!(client.rest().await.unwrap(), b"");
    client.send(b"still here").await.unwrap();
    assert_eq!(served.bytes(10).await.unwrap(), b"still here");
}

/// The app's end of the next connection, which is HTTP/2 without TLS.
async fn serve_h2(app: &TcpListener) -> ::h2::server::Connection<TcpStream, Bytes> {
    let (socket, _) = within("a connection at the app", app.accept())
        .await
        .unwrap();
    let shaken = within("the preface", ::h2::server::handshake(socket)).await;
    shaken.unwrap()
}

type Call = (Request<::h2::RecvStream>, ::h2::server::SendResponse<Bytes>);

/// The next request on it; its connection is driven on.
async fn call(app: &TcpListener) -> Call {
    let mut connection = serve_h2(app).await;
    let call = within("a call", connection.accept())
        .await
        .unwrap()
        .unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_only_stay_one_head_that_ends_the_stream() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let mut ask = request("POST", "/shop.Orders/List", Flow::of("\0\0\0\0\0"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        ask.headers_mut().insert(name, value.parse().unwrap());
    }
    let answered = async {
        let (asked, mut respond) = call(&app).await;
        assert_eq!(asked.headers()["te"], "trailers");
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "5")
            .header("grpc-message", "none");
        respond
            .send_response(answer.body(()).unwrap(), true)
            .unwrap();
        asked
    };
    let (answer, _asked) = tokio::join!(pair.send(Version::HTTP_2, ask), answered);
    assert!(hyper::body::Body::is_end_stream(answer.body()), "one frame");
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert_eq!(answer.headers()["grpc-message"], "none");
    let (status, body, trailers) = whole(answer).await.unwrap();
    assert_eq!((status, body.len(), trailers.len()), (200, 0, 0));
}

fn reason(error: &(dyn std::error::Error + 'static)) -> Option<Reason> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(h2) = error.downcast_ref::<::h2::Error>() {
            return h2.reason();
        }
        next = error.source();
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_resets_a_stream_with_its_code_at_the_caller() {
    for code in [
        Reason::ENHANCE_YOUR_CALM,
        Reason::INTERNAL_ERROR,
        Reason::CANCEL,
    ] {
        let (app, at) = listen().await;
        let pair = Pair::before(at);
        let answered = async {
            let (_, mut respond) = call(&app).await;
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("first".into(), false).unwrap();
            (respond, stream)
        };
        let get = request("GET", "/reset", Flow::none());
        let (mut answer, (_respond, mut stream)) =
            tokio::join!(pair.send(Version::HTTP_2, get), answered);
        frame(answer.body_mut()).await.unwrap().unwrap();
        stream.send_reset(code);
        let error = frame(answer.body_mut()).await.unwrap().unwrap_err();
        assert_eq!(reason(&error), Some(code));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_resets_its_stream_with_its_code_at_the_app() {
    for code in [Reason::INTERNAL_ERROR, Reason::CANCEL] {
        let (app, at) = listen().await;
        let pair = Pair::before(at);
        let socket = TcpStream::connect(pair.calling.at("http")).await.unwrap();
        let (mut sender, connection) = ::h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let ask = Request::post("http://orders/reset").body(()).unwrap();
        let (answer, mut stream) = sender.send_request(ask, false).unwrap();
        stream.send_data(Bytes::from("first"), false).unwrap();
        let (mut asked, mut respond) = call(&app).await;
        let _answering = respond.send_response(Response::new(()), false).unwrap();
        let _answer = within("the answer", answer).await.unwrap();
        let first = within("the first", asked.body_mut().data()).await;
        assert_eq!(first.unwrap().unwrap(), "first");
        stream.send_reset(code);
        let error = within("the reset", asked.body_mut().data()).await;
        assert_eq!(error.unwrap().unwrap_err().reason(), Some(code));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_body_ended_passes_and_the_rest_of_the_body_follows() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let (pen, flow) = Flow::open();
    pen.data("first").await;
    let mut sender = h2(pair.calling.at("http")).await;
    let asking = sender.send_request(request("POST", "/early", flow));
    let answering = async {
        let (asked, mut respond) = call(&app).await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data("early".into(), true).unwrap();
        asked
    };
    let (answer, mut asked) = tokio::join!(asking, answering);
    let (status, body, _) = whole(answer.unwrap()).await.unwrap();
    assert_eq!((status, &body[..]), (200, &b"early"[..]));
    pen.data("second").await;
    drop(pen);
    let mut seen = Vec::new();
    while let Some(data) = within("the body", asked.body_mut().data()).await {
        seen.extend(data.unwrap());
    }
    assert_eq!(seen, b"firstsecond");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_says_beyond_its_answer_is_nobodys_answer() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let get = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    let (mut client, mut served) = pair.asked(&app, get).await;
    let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    served
        .send(format!("{OK}{poison}").as_bytes())
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");

    let (mut client, mut served) = pair.asked(&app, get).await;
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}
