//! Certificates that tidegate makes for itself, and the order in which they are replaced.
//!
//! A leaf is only ever served while every client trusts its authority:
//!
//! ```text
//! new authority joins the bundle -> clients trust it, for a while -> the leaf is of the new one
//!                                                       -> for a while -> the old one leaves
//! ```
//!
//! Pure: the present is an argument, and who keeps and spreads it is `cluster::certificate`.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// It could not be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// What is kept is no certificate.
    #[error("{what} is no certificate in PEM")]
    Malformed {
        /// What was read.
        what: &'static str,
    },
}

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authority.
    pub authority: SignedDuration,
    /// A leaf.
    pub leaf: SignedDuration,
    /// How long before its end a certificate is replaced.
    pub before: SignedDuration,
    /// How long a change is left to spread before the next one builds on it: to every API server, and to
    /// every replica.
    pub settle: SignedDuration,
}

impl Lifetimes {
    /// The shortest leaf: a third of it is longer than a step that was just missed and the time that
    /// another replica takes to lead in place of one that went away.
    pub const SHORTEST: SignedDuration = SignedDuration::from_secs(90);
    /// As long as any change takes to reach every API server and every replica.
    const LONGEST_SETTLE: SignedDuration = SignedDuration::from_mins(10);

    /// Of a leaf and an authority that last so long. Both are replaced a third of the leaf's life before
    /// their end, which leaves time for all steps; none when the leaf is shorter than
    /// [`SHORTEST`](Self::SHORTEST) or outlives its authority.
    pub fn of(leaf: SignedDuration, authority: SignedDuration) -> Option<Self> {
        let settle = leaf.checked_div(12)?.min(Self::LONGEST_SETTLE);
        let before = leaf.checked_div(3)?;
        (leaf >= Self::SHORTEST && authority >= leaf).then_some(Self {
            authority,
            leaf,
            before,
            settle,
        })
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: SignedDuration::from_hours(365 * 24),
            leaf: SignedDuration::from_hours(90 * 24),
            before: SignedDuration::from_hours(30 * 24),
            settle: Self::LONGEST_SETTLE,
        }
    }
}

/// What a server needs, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The leaf.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// The authorities to trust.
    pub bundle: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Everything that is kept between two steps.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The leaf, in PEM.
    pub leaf: String,
    /// Its key.
    pub leaf_key: String,
    /// The authorities, the newest first.
    pub authorities: Vec<String>,
    /// The key of the newest.
    pub authority_key: String,
    /// Since when every client trusts all of them; none while some do not.
    pub trusted_since: Option<Timestamp>,
    /// Since when the leaf is there.
    pub served_since: Timestamp,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("authorities", &self.authorities.len())
            .field("trusted_since", &self.trusted_since)
            .field("served_since", &self.served_since)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// A first authority and leaf, for `names`.
    ///
    /// # Errors
    ///
    /// When a name is neither a DNS name nor an IP address.
    pub fn new(names: &[String], lifetimes: &Lifetimes, now: Timestamp) -> Result<Self, PkiError> {
        let (authority, authority_key) = make_authority(lifetimes, now)?;
        let (leaf, leaf_key) = make_leaf(names, &authority, &authority_key, lifetimes, now)?;
        Ok(Self {
            leaf,
            leaf_key,
            authorities: vec![authority],
            authority_key,
            trusted_since: None,
            served_since: now,
        })
    }

    /// What is served.
    pub fn pair(&self) -> Pair {
        Pair {
            chain: self.leaf.clone(),
            key: self.leaf_key.clone(),
            bundle: self.authorities.concat(),
        }
    }

    /// The next step, if it is time for one.
    ///
    /// # Errors
    ///
    /// When what is kept cannot be read, or nothing can be made for `names`.
    pub fn next(
        &self,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Option<Self>, PkiError> {
        let newest = self.authorities.first().map_or("", String::as_str);
        let (authority, leaf) = (read(newest, "ca.crt")?, read(&self.leaf, "tls.crt")?);
        let due = |end: Timestamp| end.duration_since(now) < lifetimes.before;
        let settled = |since: Timestamp| now.duration_since(since) >= lifetimes.settle;
        let alone = self.authorities.len() <= 1;
        if leaf.issuer == authority.subject {
            if alone && due(authority.ends) {
                return self.with_authority(lifetimes, now).map(Some);
            }
            if !alone && settled(self.served_since) {
                return Ok(Some(self.without_old()));
            }
            let renamed = names.iter().any(|name| !leaf.names.contains(name));
            if due(leaf.ends) && leaf.ends < authority.ends || renamed || leaf.ends <= now {
                return self.with_leaf(names, lifetimes, now).map(Some);
            }
            return Ok(None);
        }
        // A leaf that nobody accepts any more cannot get worse.
        if self.trusted_since.is_some_and(settled) || leaf.ends <= now {
            return self.with_leaf(names, lifetimes, now).map(Some);
        }
        Ok(None)
    }

    fn with_authority(&self, lifetimes: &Lifetimes, now: Timestamp) -> Result<Self, PkiError> {
        let (authority, authority_key) = make_authority(lifetimes, now)?;
        let mut authorities = vec![authority];
        authorities.extend(self.authorities.iter().cloned());
        Ok(Self { authorities, authority_key, trusted_since: None, ..self.clone() })
    }

    fn with_leaf(
        &self,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let newest = self.authorities.first().map_or("", String::as_str);
        let (leaf, leaf_key) = make_leaf(names, newest, &self.authority_key, lifetimes, now)?;
        Ok(Self { leaf, leaf_key, served_since: now, ..self.clone() })
    }

    fn without_old(&self) -> Self {
        let mut next = self.clone();
        next.authorities.truncate(1);
        next
    }
}

/// What is read of a certificate.
struct Read {
    subject: String,
    issuer: String,
    ends: Timestamp,
    names: Vec<String>,
}

fn read(pem: &str, what: &'static str) -> Result<Read, PkiError> {
    let malformed = || PkiError::Malformed { what };
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_error| malformed())?;
    let (_rest, parsed) = X509Certificate::from_der(&der).map_err(|_error| malformed())?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| &names.value.general_names[..]).unwrap_or_default();
    let name = |name: &x509_parser::extensions::GeneralName<'_>| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    Ok(Read {
        subject: parsed.subject.to_string(),
        issuer: parsed.issuer.to_string(),
        ends: Timestamp::from_second(parsed.validity.not_after.timestamp())
            .unwrap_or(Timestamp::MAX),
        names: names.iter().filter_map(name).collect(),
    })
}

/// End of validity of a certificate in PEM; none where it is none.
pub fn ends(pem: &str) -> Option<Timestamp> {
    read(pem, "").ok().map(|certificate| certificate.ends)
}

/// The certificates of a PEM text, one by one.
pub fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = bundle.split_inclusive(END).filter(|part| part.contains(END));
    parts.map(|part| format!("{}\n", part.trim())).collect()
}

fn valid(params: &mut CertificateParams, life: SignedDuration, now: Timestamp) {
    // Clocks differ a little.
    let from = now.as_second().saturating_sub(3_600);
    params.not_before = moment(from);
    params.not_after = moment(now.as_second().saturating_add(life.as_secs()));
}

#[expect(clippy::arithmetic_side_effects, reason = "within the years 1970 to 9999")]
fn moment(second: i64) -> time::OffsetDateTime {
    let second = second.clamp(0, 253_402_300_799);
    time::OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second)
}

fn make_authority(lifetimes: &Lifetimes, now: Timestamp) -> Result<(String, String), PkiError> {
    let mut params = CertificateParams::new(Vec::new())?;
    valid(&mut params, lifetimes.authority, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    // A name of its own, so that a leaf says which of two authorities issued it.
    let digest = <sha2::Sha256 as sha2::Digest>::digest(key.public_key_raw());
    let mark = u64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    params.distinguished_name.push(DnType::CommonName, format!("tidegate authority {mark:016x}"));
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn make_leaf(
    names: &[String],
    authority: &str,
    authority_key: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<(String, String), PkiError> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let mut params = CertificateParams::new(names)?;
    // A leaf that outlives its authority is trusted no longer than that.
    let ends = read(authority, "ca.crt")?.ends.duration_since(now);
    valid(&mut params, lifetimes.leaf.min(ends), now);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, "tidegate");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["tidegate.tidegate.svc".to_owned()]
    }

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
    fn at(days: i64, minutes: i64) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let since = SignedDuration::from_mins(days * 24 * 60 + minutes);
        start.checked_add(since).unwrap()
    }

    fn next(kept: &Kept, now: Timestamp) -> Option<Kept> {
        kept.next(&names(), &Lifetimes::default(), now).unwrap()
    }

    fn issued_by(kept: &Kept, authority: &str) -> bool {
        read(&kept.leaf, "").unwrap().issuer == read(authority, "").unwrap().subject
    }

    #[test]
    fn lifetimes_leave_time_for_every_step() {
        let of = |leaf, authority| {
            Lifetimes::of(SignedDuration::from_secs(leaf), SignedDuration::from_secs(authority))
        };
        assert_eq!(of(90 * 86_400, 365 * 86_400), Some(Lifetimes::default()));
        let short = of(90, 100).unwrap();
        assert_eq!((short.before.as_secs(), short.settle.as_secs()), (30, 7));
        assert_eq!((of(89, 100), of(100, 99)), (None, None));
    }

    #[test]
    fn a_leaf_is_replaced_in_time_under_the_same_authority() {
        let first = Kept::new(&names(), &Lifetimes::default(), at(0, 0)).unwrap();
        assert_eq!(next(&first, at(59, 0)), None);
        let second = next(&first, at(61, 0)).unwrap();
        assert_eq!(second.authorities, first.authorities);
        assert_ne!(second.leaf, first.leaf);
        assert_eq!(next(&second, at(61, 0)), None);
        let renamed = vec!["other.svc".to_owned()];
        let renamed = first.next(&renamed, &Lifetimes::default(), at(1, 0)).unwrap().unwrap();
        assert_ne!(renamed.leaf, first.leaf);
    }

    #[test]
    fn an_authority_is_replaced_in_three_steps_and_none_before_its_time() {
        let mut kept = Kept::new(&names(), &Lifetimes::default(), at(0, 0)).unwrap();
        while let Some(step) = next(&kept, at(320, 0)) {
            kept = step;
        }
        let old = kept.authorities[0].clone();
        let joined = next(&kept, at(340, 0)).unwrap();
        assert_eq!(joined.authorities[1], old);
        assert!(issued_by(&joined, &old), "the leaf is still of the old one");
        assert_eq!(next(&joined, at(341, 0)), None, "nobody trusts the new one yet");
        let trusted = Kept { trusted_since: Some(at(341, 0)), ..joined };
        assert_eq!(next(&trusted, at(341, 9)), None, "not everybody has heard of it");
        let switched = next(&trusted, at(341, 10)).unwrap();
        assert!(issued_by(&switched, &switched.authorities[0]));
        assert_eq!(switched.authorities.len(), 2, "some may still serve the old leaf");
        assert_eq!(next(&switched, at(341, 19)), None);
        let done = next(&switched, at(341, 20)).unwrap();
        assert_eq!(done.authorities, switched.authorities[..1]);
        assert_eq!(next(&done, at(341, 30)), None);
    }

    #[test]
    fn what_is_over_is_replaced_at_once() {
        let kept = Kept::new(&names(), &Lifetimes::default(), at(0, 0)).unwrap();
        let mut steps = 0;
        let mut now = kept;
        while let Some(step) = next(&now, at(400, 0)) {
            now = step;
            steps += 1;
            assert!(steps < 5, "it comes to rest");
        }
        assert!(read(&now.leaf, "").unwrap().ends > at(400, 0));
        assert!(issued_by(&now, &now.authorities[0]));
    }

    #[test]
    fn what_is_kept_can_be_split_and_what_is_broken_is_an_error() {
        let kept = Kept::new(&names(), &Lifetimes::default(), at(0, 0)).unwrap();
        let two = kept.with_authority(&Lifetimes::default(), at(1, 0)).unwrap();
        assert_eq!(split(&two.pair().bundle), two.authorities);
        let broken = Kept { leaf: "nonsense".to_owned(), ..kept.clone() };
        let error = broken.next(&names(), &Lifetimes::default(), at(0, 0)).unwrap_err();
        assert_eq!(error.to_string(), "tls.crt is no certificate in PEM");
        assert!(!format!("{kept:?}{:?}", kept.pair()).contains("KEY"));
    }
}
