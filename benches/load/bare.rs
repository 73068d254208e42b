//! What an admission webhook in Rust costs at least: axum on hyper over rustls, which reads the body,
//! finds the uid and allows.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::post,
};
use hyper::{StatusCode, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rcgen::CertifiedKey;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Deserialize)]
struct Review<'b> {
    #[serde(borrow)]
    request: Request<'b>,
}

#[derive(Deserialize)]
struct Request<'b> {
    uid: &'b str,
}

async fn allow(body: Bytes) -> Response {
    let Ok(review) = serde_json::from_slice::<Review<'_>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answer = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{}","allowed":true}}}}"#,
        review.request.uid
    );
    ([(CONTENT_TYPE, "application/json")], answer).into_response()
}

/// Serves until it is killed.
///
/// # Errors
///
/// When it cannot listen.
pub(crate) fn serve(listen: SocketAddr, ca_out: Option<&Path>) -> anyhow::Result<()> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    fs::write(ca_out.context("--ca-out is missing")?, cert.pem())?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let router = Router::new()
        .route("/validate", post(allow))
        .route("/mutate", post(allow))
        .layer(DefaultBodyLimit::disable());
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(router);
                // How a connection ends is the generator's affair.
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    })
}
