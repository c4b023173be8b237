//! The storefront: `GET /` is a page of orders, which it asks of `http://orders/orders` over its own outbound address.

use crate::serve::{self, Answer, Running};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A page holds a shop's worth of orders, not a warehouse's.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a visitor waits for orders, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The service that people look at.
#[derive(Debug)]
pub struct Storefront;

/// Why there is no page of orders.
#[derive(Debug)]
enum Failed {
    /// Orders, or a sidecar on the way, said no; with its `Proxy-Status` if it sent one.
    Refused(StatusCode, Option<String>),
    /// Nobody answered, or not in HTTP, or not in time.
    Unanswered(Box<dyn Error + Send + Sync>),
}

impl Storefront {
    /// Starts the storefront; `outbound` is `host:port` of what carries its calls, usually its own sidecar, and need not
    /// be up yet. Fails only if `listen` cannot be bound.
    pub async fn start(listen: SocketAddr, outbound: impl Into<String>) -> io::Result<Running> {
        let outbound = outbound.into();
        let listener = TcpListener::bind(listen).await?;
        serve::http(listener, move |request| answer(request, outbound.clone()))
    }
}

async fn answer(request: Request<Incoming>, outbound: String) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) || request.uri().path() != "/" {
        return page(StatusCode::NOT_FOUND, "<h1>No such page</h1>");
    }
    let orders = timeout(ANSWER_WITHIN, orders(&outbound)).await;
    match orders.unwrap_or_else(|late| Err(Failed::Unanswered(late.into()))) {
        Ok(orders) => page(StatusCode::OK, &table(&orders)),
        Err(why) => page(
            StatusCode::BAD_GATEWAY,
            &format!(
                "<h1>No orders to show</h1>\n<p>{}</p>",
                escaped(&why.to_string())
            ),
        ),
    }
}

async fn orders(outbound: &str) -> Result<Value, Failed> {
    let socket = TcpStream::connect(outbound).await.map_err(unanswered)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(unanswered)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = hyper::Uri::from_static("/orders");
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("orders"));
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(unanswered)?;
        if answer.status() != StatusCode::OK {
            let why = answer
                .headers()
                .get("proxy-status")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            return Err(Failed::Refused(answer.status(), why));
        }
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(unanswered)?;
        serde_json::from_slice(&body.to_bytes()).map_err(unanswered)
    };
    tokio::pin!(exchange);
    tokio::select! {
        done = &mut exchange => done,
        // The connection may end as soon as its last answer is read; what it read is still to be had.
        _ = connection => exchange.await,
    }
}

fn unanswered(why: impl Into<Box<dyn Error + Send + Sync>>) -> Failed {
    Failed::Unanswered(why.into())
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Refused(status, Some(why)) => write!(f, "orders answered {status}: {why}"),
            Failed::Refused(status, None) => write!(f, "orders answered {status}"),
            Failed::Unanswered(why) => write!(f, "orders did not answer: {why}"),
        }
    }
}

fn table(orders: &Value) -> String {
    let rows = orders["orders"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|order| {
            let id = escaped(order["id"].as_str().unwrap_or_default());
            format!(
                "<tr><td>{id}</td><td>{}</td></tr>\n",
                money(order["cents"].as_u64().unwrap_or_default())
            )
        });
    let total = money(orders["cents_total"].as_u64().unwrap_or_default());
    let caller = escaped(orders["caller"].as_str().unwrap_or("nobody it can name"));
    format!(
        "<h1>Orders</h1>\n<table>\n{}<tr><th>total</th><th>{total}</th></tr>\n</table>\n<p>Orders knows this page as {caller}.</p>",
        rows.collect::<String>()
    )
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn page(status: StatusCode, content: &str) -> Answer {
    let html =
        format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>Shop</title>\n{content}\n");
    let mut answer = Response::new(Full::new(Bytes::from(html)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    answer
}
