//! From a request to its answer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, StatusCode, Version,
    body::Body as _,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
    },
};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::{App, answer::Answer, body::Bytes, budget::Share, deadline::Deadline, review::V1};
use crate::{metrics::Counted, telemetry::Foreign, webhook::decide};

/// Which of the two entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// `/validate`: refuses when it cannot tell.
    Validate,
    /// `/mutate`: never refuses.
    Mutate,
}

impl Entry {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Mutate => "mutate",
        }
    }
}

/// An answer that is no review. Its body is empty: the API server shows bodies to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It is no review, and never will be.
    Rejected(StatusCode, &'static str),
    /// Not now: the API server tries again within its timeout.
    Shed(&'static str),
}

impl Failure {
    fn respond(self, app: &App) -> Response {
        let mut response = Response::new(Body::empty());
        let close = HeaderValue::from_static("close");
        match self {
            Self::Rejected(status, reason) => {
                app.metrics.rejected(reason);
                *response.status_mut() = status;
                // What is left of the body is not worth reading.
                response.headers_mut().insert(CONNECTION, close);
            }
            Self::Shed(reason) => {
                app.metrics.shed(reason);
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                // Without this header the API server does not try again.
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                // The next attempt may reach another replica.
                response.headers_mut().insert(CONNECTION, close);
            }
        }
        response
    }
}

pub(super) async fn validate(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(app, Entry::Validate, request).await
}

pub(super) async fn mutate(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(app, Entry::Mutate, request).await
}

pub(super) async fn wrong_method(State(app): State<Arc<App>>) -> Response {
    Failure::Rejected(StatusCode::METHOD_NOT_ALLOWED, "method").respond(&app)
}

pub(super) async fn not_found(State(app): State<Arc<App>>) -> Response {
    Failure::Rejected(StatusCode::NOT_FOUND, "path").respond(&app)
}

async fn answer(app: Arc<App>, entry: Entry, request: Request) -> Response {
    let deadline = Deadline::from_query(request.uri().query(), Instant::now());
    let _counted = Counted::new(&app.metrics.in_flight);
    match review(&app, entry, request, deadline).await {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(failure) => failure.respond(&app),
    }
}

async fn review(
    app: &Arc<App>,
    entry: Entry,
    request: Request,
    deadline: Deadline,
) -> Result<Vec<u8>, Failure> {
    let length = gate(app, &request)?;
    let in_flight = match Arc::clone(&app.in_flight).try_acquire_owned() {
        Ok(permit) => permit,
        Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
            return Err(Failure::Shed("in-flight"));
        }
    };
    let share = app.budget.reserve(length, deadline.patience()).await;
    let share = share.ok_or(Failure::Shed("memory"))?;
    let body = collect(app, request.into_body(), length, deadline).await?;
    let held = Held { _in_flight: in_flight, _share: share };
    if length <= app.limits.inline_body {
        decide_here(app, entry, &body, deadline, &held).await
    } else {
        decide_apart(app, entry, body, deadline, held).await
    }
}

/// What a request holds until its answer is made, wherever that happens.
struct Held {
    _in_flight: OwnedSemaphorePermit,
    _share: Share,
}

/// Lets in exactly what the API server sends; gives the body's length.
fn gate(app: &App, request: &Request) -> Result<usize, Failure> {
    if request.version() != Version::HTTP_11 {
        return Err(Failure::Rejected(StatusCode::BAD_REQUEST, "version"));
    }
    if !is_json(request.headers()) {
        return Err(Failure::Rejected(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"));
    }
    let length = request.body().size_hint().exact();
    let headers = request.headers();
    let announced =
        headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    let length = length.filter(|_| announced);
    match length.map(usize::try_from) {
        None => Err(Failure::Rejected(StatusCode::LENGTH_REQUIRED, "length")),
        Some(Ok(0)) => Err(Failure::Rejected(StatusCode::BAD_REQUEST, "no-uid")),
        Some(Ok(length)) if length <= app.limits.max_body => Ok(length),
        Some(_) => Err(Failure::Rejected(StatusCode::PAYLOAD_TOO_LARGE, "too-large")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// Reads the body within its time. Its memory is reserved already.
async fn collect(
    app: &App,
    mut body: Body,
    length: usize,
    deadline: Deadline,
) -> Result<Bytes, Failure> {
    let mut bytes =
        Bytes::with_capacity(length).map_err(|_out_of_memory| Failure::Shed("memory"))?;
    let read = async {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data()
                && !bytes.extend(&data)
            {
                return Ok(false);
            }
        }
        Ok::<_, axum::Error>(true)
    };
    match tokio::time::timeout(app.limits.body.min(deadline.left()), read).await {
        Ok(Ok(true)) if bytes.len() == length => Ok(bytes),
        Ok(_) => Err(Failure::Rejected(StatusCode::BAD_REQUEST, "cut-off")),
        Err(_elapsed) => {
            app.metrics.late("body");
            Err(Failure::Rejected(StatusCode::REQUEST_TIMEOUT, "slow-body"))
        }
    }
}

/// Decides on this thread: a small body takes microseconds.
async fn decide_here(
    app: &App,
    entry: Entry,
    body: &[u8],
    deadline: Deadline,
    _held: &Held,
) -> Result<Vec<u8>, Failure> {
    if deadline.left().is_zero() {
        // It waited for its turn for so long that nobody waits for the answer any more.
        app.metrics.late("queue");
        return Err(Failure::Shed("queue"));
    }
    let decided = decide::settle(app, entry, body, deadline, decide::Stage::First).await;
    finish(decided)
}

/// Decides on a thread of its own: a body of many megabytes must not hold up the others.
async fn decide_apart(
    app: &Arc<App>,
    entry: Entry,
    body: Bytes,
    deadline: Deadline,
    held: Held,
) -> Result<Vec<u8>, Failure> {
    let room = Arc::clone(&app.evaluations).acquire_owned();
    let Ok(Ok(permit)) = tokio::time::timeout(deadline.patience(), room).await else {
        return Err(Failure::Shed("evaluation"));
    };
    let uid = Arc::new(OnceLock::new());
    let waits = tokio::runtime::Handle::current();
    let work = {
        let (app, uid) = (Arc::clone(app), Arc::clone(&uid));
        // The permits go with the work, so that work nobody waits for any more still counts.
        move || {
            let _held = (held, permit);
            // The bytes are given back before the permits are.
            let body = body;
            let stage = decide::Stage::Noting(&uid);
            // This thread may wait: it is one of those that are there for it.
            waits.block_on(decide::settle(&app, entry, &body, deadline, stage))
        }
    };
    let work = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(deadline.left(), work).await {
        Ok(Ok(decided)) => finish(decided),
        Ok(Err(_)) | Err(_) => Ok(late(app, entry, uid.get().ok_or(Failure::Shed("queue"))?)),
    }
}

/// The answer when the deadline came first.
fn late(app: &App, entry: Entry, uid: &str) -> Vec<u8> {
    app.metrics.late("decision");
    tracing::error!(uid = %Foreign(uid), path = entry.as_str(), "not decided in time");
    match entry {
        Entry::Validate => {
            let message = "tidegate: this change could not be judged in time, so it is refused; \
                           try again, or make the object smaller";
            Answer::refused(V1, uid, message).encode()
        }
        Entry::Mutate => Answer::defaulted(V1, uid, None).encode(),
    }
}

fn finish(decided: decide::Decided) -> Result<Vec<u8>, Failure> {
    match decided {
        decide::Decided::Answer(body) => Ok(body),
        decide::Decided::NoUid => Err(Failure::Rejected(StatusCode::BAD_REQUEST, "no-uid")),
        decide::Decided::NotSynced
        | decide::Decided::NewNamespace(_)
        | decide::Decided::LookUp(..) => Err(Failure::Shed("not-synced")),
    }
}

/// Runs `work`, which is our engine; `None` when it panics.
pub(super) fn guarded<T>(app: &App, work: impl FnOnce() -> T) -> Option<T> {
    // The engine is a function of its arguments: nothing that it leaves half done is seen again.
    let result = catch_unwind(AssertUnwindSafe(work));
    if result.is_err() {
        app.metrics.panics.inc();
    }
    result.ok()
}
