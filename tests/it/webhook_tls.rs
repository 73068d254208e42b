//! Certificates that change while the server serves, and clients that must have one.

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::HandshakeKind;
use tidegate::{
    metrics::Metrics,
    settings::Limits,
    webhook::{ClientCa, Identity, Issued, TlsStore},
};

use crate::support::{
    Folder, Server, Service, built_in_engine, client_config, client_config_with_certificate,
    connect, eventually, metric, review_of,
};

const POLL: Duration = Duration::from_millis(20);

fn issue() -> Issued {
    Issued::new(&["localhost".to_owned()], Timestamp::now()).unwrap()
}

/// Changes a mounted Secret as kubelet does: a new folder, then one switch of a link.
fn swap(folder: &Folder, generation: u32, files: &[(&str, &str)]) {
    let name = format!("..2026_{generation}");
    fs::create_dir(folder.0.join(&name)).unwrap();
    for (file, text) in files {
        fs::write(folder.0.join(&name).join(file), text).unwrap();
        let link = folder.0.join(file);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(file), link).unwrap();
        }
    }
    symlink(&name, folder.0.join("..data_tmp")).unwrap();
    fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).unwrap();
}

fn pair(issued: &Issued) -> [(&str, &str); 3] {
    [("tls.crt", &issued.chain), ("tls.key", &issued.key), ("ca.crt", &issued.ca)]
}

async fn serve(folder: &Folder, client_ca: Option<ClientCa>) -> Server {
    let limits = Limits::default();
    let service = Service::new(built_in_engine(), limits.clone());
    let identity = Identity::Directory(folder.0.clone());
    let (tls, loaded) = TlsStore::new(identity, client_ca, Arc::clone(&service.metrics)).unwrap();
    let tls = Arc::new(tls);
    tokio::spawn(Arc::clone(&tls).keep_current(loaded, POLL));
    let ca = fs::read_to_string(folder.0.join("ca.crt")).unwrap();
    Server::listen(service, limits, tls, ca).await
}

async fn trusts(server: &Server, issued: &Issued) -> bool {
    connect(server.address, client_config(&issued.ca)).await.is_ok()
}

#[tokio::test]
async fn a_new_certificate_is_served_and_a_bad_one_never() {
    let folder = Folder::new("rotation");
    let first = issue();
    swap(&folder, 0, &pair(&first));
    let server = serve(&folder, None).await;
    assert!(trusts(&server, &first).await);
    let mut old = server.connect().await;
    let count = |name: &str| server.service.metric(name).unwrap();

    let mut current = first;
    for round in 0..10 {
        let next = issue();
        let other = issue();
        let nameless = Issued::new(&[], Timestamp::now()).unwrap();
        let expired: Timestamp = "2001-01-01T00:00:00Z".parse().unwrap();
        let expired = Issued::new(&["localhost".to_owned()], expired).unwrap();
        let half = &next.chain[..next.chain.len() / 3];
        let bad: [[(&str, &str); 3]; 4] = [
            [("tls.crt", half), ("tls.key", &next.key), ("ca.crt", &next.ca)],
            [("tls.crt", &next.chain), ("tls.key", &other.key), ("ca.crt", &next.ca)],
            pair(&nameless),
            pair(&expired),
        ];
        for (index, files) in bad.iter().enumerate() {
            let failures = count("tidegate_certificate_reload_failures_total");
            swap(&folder, round * 10 + u32::try_from(index).unwrap() + 1, files);
            eventually("the bad pair is counted", || {
                count("tidegate_certificate_reload_failures_total") > failures
            })
            .await;
            assert!(trusts(&server, &current).await, "round {round}: bad pair {index} is served");
        }
        let reloads = count("tidegate_certificate_reloads_total");
        swap(&folder, round * 10 + 9, &pair(&next));
        eventually("the new pair is taken", || {
            count("tidegate_certificate_reloads_total") > reloads
        })
        .await;
        assert!(trusts(&server, &next).await && !trusts(&server, &current).await);
        current = next;
    }
    // An open connection goes on as it was.
    assert_eq!(old.post("/validate", &review_of("{}")).await.status, 200);
    let text = server.service.metrics.encode().unwrap();
    for kind in ["leaf", "ca"] {
        let series =
            format!(r#"tidegate_certificate_not_after_timestamp_seconds{{kind="{kind}"}}"#);
        let end = metric(&text, &series).unwrap();
        assert!(end > 2_000_000_000.0, "{kind}: {end}");
    }
}

#[tokio::test]
async fn sessions_resume_across_a_change() {
    let folder = Folder::new("resume");
    let first = issue();
    swap(&folder, 0, &pair(&first));
    let server = serve(&folder, None).await;
    let config = client_config(&first.ca);
    let mut connection = connect(server.address, config.clone()).await.unwrap();
    connection.post("/validate", &review_of("{}")).await;
    swap(&folder, 1, &pair(&issue()));
    eventually("the new pair is taken", || {
        server.service.metric("tidegate_certificate_reloads_total") == Some(1.0)
    })
    .await;
    let mut connection = connect(server.address, config).await.unwrap();
    assert_eq!(connection.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(connection.post("/validate", &review_of("{}")).await.status, 200);
}

/// A client's certificate: chain, key, authority.
fn client_certificate() -> (String, String, String) {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let authority = ca.self_signed(&ca_key).unwrap().pem();
    let mut leaf = CertificateParams::new(["apiserver".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let chain = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().pem();
    (chain, key.serialize_pem(), authority)
}

#[tokio::test]
async fn with_a_client_authority_only_its_clients_get_an_answer() {
    let folder = Folder::new("client-ca");
    let identity = issue();
    swap(&folder, 0, &pair(&identity));
    let (chain, key, authority) = client_certificate();
    let (other_chain, other_key, other_authority) = client_certificate();
    let file = folder.write("client-ca.crt", &authority);
    let server = serve(&folder, Some(ClientCa(file))).await;

    let answered = |config| async {
        let Ok(mut connection) = connect(server.address, config).await else { return false };
        let request = crate::support::post("/validate", &review_of("{}"));
        // In TLS 1.3 a client learns only afterwards that it was refused.
        connection.send(&request).await.is_ok() && connection.reply().await.is_some()
    };
    let known = client_config_with_certificate(&identity.ca, &chain, &key);
    let stranger = client_config_with_certificate(&identity.ca, &other_chain, &other_key);
    assert!(answered(known.clone()).await);
    assert!(!answered(stranger.clone()).await);
    assert!(!answered(client_config(&identity.ca)).await);

    folder.write("client-ca.crt", &other_authority);
    eventually("the new authority is taken", || {
        server.service.metric("tidegate_certificate_reloads_total") == Some(1.0)
    })
    .await;
    assert!(answered(stranger).await);
    assert!(!answered(known).await, "an old session must not outlive its authority");
}

#[test]
fn what_cannot_be_served_is_said_at_start() {
    let folder = Folder::new("tls-start");
    let start = |folder: &Folder| {
        let identity = Identity::Directory(folder.0.clone());
        let error = TlsStore::new(identity, None, Arc::new(Metrics::default())).err().unwrap();
        format!("{:#}", anyhow::Error::from(error))
    };
    let issued = issue();
    assert!(start(&folder).contains("tls.crt"), "{}", start(&folder));
    folder.write("tls.crt", &issued.chain);
    assert!(start(&folder).contains("tls.key"), "{}", start(&folder));
    folder.write("tls.key", issue().key);
    assert!(start(&folder).contains("tls.key does not fit tls.crt"), "{}", start(&folder));
    let name = Identity::issue(&["not a name".to_owned()], Timestamp::now()).err().unwrap();
    assert!(name.to_string().contains("not a name"));
}
