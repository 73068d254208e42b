//! Keys and certificates of the cluster, made anew for each run.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// People without any right of their own.
pub(crate) const PEOPLE: [&str; 2] = ["alice", "bob"];

/// Writes `ca.crt`, `apiserver.{crt,key}`, `admin.{crt,key}`, `sa.{pub,key}` and a certificate and key of
/// each of [`PEOPLE`] into `folder`.
pub(crate) fn write(folder: &Path) -> Result<(), String> {
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    let make = || -> Result<Vec<(String, String)>, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "e2e");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut files = vec![("ca.crt".to_owned(), ca.pem())];

        let mut server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        files.push(("apiserver.crt".to_owned(), server.signed_by(&key, &ca)?.pem()));
        files.push(("apiserver.key".to_owned(), key.serialize_pem()));

        for (name, group) in [("admin", Some("system:masters"))]
            .into_iter()
            .chain(PEOPLE.map(|person| (person, None)))
        {
            let mut person = CertificateParams::new([])?;
            person.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            person.distinguished_name.push(DnType::CommonName, name);
            if let Some(group) = group {
                person.distinguished_name.push(DnType::OrganizationName, group);
            }
            let key = KeyPair::generate()?;
            files.push((format!("{name}.crt"), person.signed_by(&key, &ca)?.pem()));
            files.push((format!("{name}.key"), key.serialize_pem()));
        }

        let accounts = KeyPair::generate()?;
        files.push(("sa.pub".to_owned(), accounts.public_key_pem()));
        files.push(("sa.key".to_owned(), accounts.serialize_pem()));
        Ok(files)
    };
    let files = make().map_err(|error| format!("cannot make certificates: {error}"))?;
    files.iter().try_for_each(|(name, text)| write(name, text))
}
