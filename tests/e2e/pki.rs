//! Keys and certificates of the cluster, made anew for each run.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Writes `ca.crt`, `apiserver.{crt,key}`, `admin.{crt,key}` and `sa.{pub,key}` into `folder`.
pub(crate) fn write(folder: &Path) -> Result<(), String> {
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    let make = || -> Result<Vec<(&str, String)>, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "e2e");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut files = vec![("ca.crt", ca.pem())];

        let mut server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        files.push(("apiserver.crt", server.signed_by(&key, &ca)?.pem()));
        files.push(("apiserver.key", key.serialize_pem()));

        let mut admin = CertificateParams::new([])?;
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        admin.distinguished_name.push(DnType::CommonName, "admin");
        admin.distinguished_name.push(DnType::OrganizationName, "system:masters");
        let key = KeyPair::generate()?;
        files.push(("admin.crt", admin.signed_by(&key, &ca)?.pem()));
        files.push(("admin.key", key.serialize_pem()));

        let accounts = KeyPair::generate()?;
        files.push(("sa.pub", accounts.public_key_pem()));
        files.push(("sa.key", accounts.serialize_pem()));
        Ok(files)
    };
    let files = make().map_err(|error| format!("cannot make certificates: {error}"))?;
    files.iter().try_for_each(|(name, text)| write(name, text))
}
