//! Orders: `GET /orders`, `GET /orders/{id}`, `POST /orders`, `DELETE /orders/{id}`, JSON both ways, kept in the ledger.
//!
//! Every answer names the `caller` that the sidecar vouched for, or `null` when nobody did.

use crate::ledger::{Client, is_key};
use crate::serve::{self, Answer, Running};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// An order is two fields.
const BODY_BYTES_MAX: usize = 4096;

/// The service that takes orders.
#[derive(Debug)]
pub struct Orders;

/// Why a request has no orderly answer.
enum Failed {
    NoSuchOrder,
    NoSuchPath,
    NotAnOrder,
    Ledger(io::Error),
}

impl Orders {
    /// Starts orders over the ledger at `host:port`, which need not be up yet. Fails only if `listen` cannot be bound.
    pub async fn start(listen: SocketAddr, ledger: impl Into<String>) -> io::Result<Running> {
        Self::on(TcpListener::bind(listen).await?, ledger)
    }

    /// The same on a socket that is bound already: a sidecar can then be told where orders listens before orders is told
    /// where its sidecar does.
    pub fn on(listener: TcpListener, ledger: impl Into<String>) -> io::Result<Running> {
        let ledger = ledger.into();
        serve::http(listener, move |request| answer(request, ledger.clone()))
    }
}

async fn answer(request: Request<Incoming>, ledger: String) -> Answer {
    let caller = serve::as_seen(&request).caller().map(str::to_owned);
    let (status, mut body) = match handle(request, &ledger).await {
        Ok(done) => done,
        Err(Failed::NoSuchOrder) => (StatusCode::NOT_FOUND, json!({"error": "no such order"})),
        Err(Failed::NoSuchPath) => (StatusCode::NOT_FOUND, json!({"error": "no such path"})),
        Err(Failed::NotAnOrder) => (
            StatusCode::BAD_REQUEST,
            json!({"error": "an order is {\"id\": \"tea\", \"cents\": 450}"}),
        ),
        Err(Failed::Ledger(e)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"error": format!("ledger: {e}")}),
        ),
    };
    body["caller"] = caller.map_or(Value::Null, Value::String);
    let mut answer = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    answer
}

async fn handle(request: Request<Incoming>, ledger: &str) -> Result<(StatusCode, Value), Failed> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.strip_prefix("/orders")) {
        (&Method::GET | &Method::HEAD, Some("")) => {
            let orders = open(ledger).await?.list().await.map_err(Failed::Ledger)?;
            let cents_total = orders
                .iter()
                .fold(0, |sum: u64, (_, cents)| sum.saturating_add(*cents));
            let orders: Vec<Value> = orders
                .iter()
                .map(|(id, cents)| json!({"id": id, "cents": cents}))
                .collect();
            Ok((
                StatusCode::OK,
                json!({"orders": orders, "cents_total": cents_total}),
            ))
        }
        (&Method::POST, Some("")) => {
            let (id, cents) = order(request).await?;
            open(ledger)
                .await?
                .put(&id, cents)
                .await
                .map_err(Failed::Ledger)?;
            Ok((StatusCode::CREATED, json!({"id": id, "cents": cents})))
        }
        (&Method::GET | &Method::HEAD, Some(rest)) => {
            let id = id(rest)?;
            let cents = open(ledger)
                .await?
                .get(id)
                .await
                .map_err(Failed::Ledger)?
                .ok_or(Failed::NoSuchOrder)?;
            Ok((StatusCode::OK, json!({"id": id, "cents": cents})))
        }
        (&Method::DELETE, Some(rest)) => {
            let id = id(rest)?;
            match open(ledger)
                .await?
                .delete(id)
                .await
                .map_err(Failed::Ledger)?
            {
                true => Ok((StatusCode::OK, json!({"deleted": id}))),
                false => Err(Failed::NoSuchOrder),
            }
        }
        _ => Err(Failed::NoSuchPath),
    }
}

async fn open(ledger: &str) -> Result<Client, Failed> {
    Client::connect(ledger).await.map_err(Failed::Ledger)
}

fn id(rest: &str) -> Result<&str, Failed> {
    rest.strip_prefix('/')
        .filter(|id| is_key(id))
        .ok_or(Failed::NoSuchPath)
}

async fn order(request: Request<Incoming>) -> Result<(String, u64), Failed> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|_| Failed::NotAnOrder)?;
    let order: Value = serde_json::from_slice(&body.to_bytes()).map_err(|_| Failed::NotAnOrder)?;
    match (order["id"].as_str(), order["cents"].as_u64()) {
        (Some(id), Some(cents)) if is_key(id) => Ok((id.to_owned(), cents)),
        _ => Err(Failed::NotAnOrder),
    }
}
