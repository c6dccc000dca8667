//! Certificates of DTLS: the one this server shows, and whether a peer shows the one that its answer named. Owns our key
//! pair; knows no session.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gst::prelude::*;
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    x509::{X509, X509NameBuilder},
};

use crate::{
    core::peer::fingerprint::{Fingerprint, HashName},
    error::{Error, Result},
    srtp::{Authentication, KEY, Master},
    sync::{Mutex, lock},
};

/// How long a certificate is shown to new peers. Browsers make theirs for 30 days (W3C WebRTC, section 4.9.1).
const RENEW_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long it is valid, in days. Nobody checks that, since it is trusted by its fingerprint; a session may outlive the renewal.
const VALID_DAYS: u32 = 365;
/// Bits of the serial number (RFC 5280, section 4.1.2.2, allows 20 bytes).
const SERIAL_BITS: i32 = 127;

/// A certificate with its key.
pub(in crate::media::gst) struct Identity {
    /// Both in PEM, as `dtlsdec` takes them.
    pub(in crate::media::gst) pem: String,
    /// As in SDP: `sha-256 AB:CD:…`.
    pub(super) fingerprint: String,
}

/// Our certificate: made when it is first asked for, and anew from time to time.
#[derive(Default)]
pub(in crate::media::gst) struct Identities {
    current: Mutex<Option<(Instant, Arc<Identity>)>>,
}

impl Identities {
    /// The certificate for a new session.
    ///
    /// # Errors
    /// Internal when OpenSSL cannot make the first one.
    pub(in crate::media::gst) fn current(&self, now: Instant) -> Result<Arc<Identity>> {
        let mut current = lock(&self.current);
        let known = current.as_ref().map(|(made, identity)| (*made, identity.clone()));
        if let Some((made, identity)) = &known
            && now.saturating_duration_since(*made) < RENEW_AFTER
        {
            return Ok(identity.clone());
        }
        match (Identity::make(), known) {
            (Ok(identity), _) => {
                let identity = Arc::new(identity);
                *current = Some((now, identity.clone()));
                Ok(identity)
            }
            (Err(error), Some((_, old))) => {
                tracing::warn!(%error, "The DTLS certificate could not be renewed; the old one stays");
                Ok(old)
            }
            (Err(error), None) => Err(Error::internal(format!("no certificate for DTLS: {error}"))),
        }
    }
}

impl Identity {
    /// A self-signed certificate with a key on P-256, the curve that RFC 8827, section 6.5, demands of everybody. webrtcbin's
    /// own is RSA, which some peers do not take (aiortc).
    fn make() -> std::result::Result<Self, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_nid(Nid::COMMONNAME, "WebRTC")?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
        let (serial, from, to) =
            (serial.to_asn1_integer()?, Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(VALID_DAYS)?);
        let mut certificate = X509::builder()?;
        // Version 3 is written as 2.
        certificate.set_version(2)?;
        certificate.set_serial_number(&serial)?;
        certificate.set_subject_name(&name)?;
        certificate.set_issuer_name(&name)?;
        certificate.set_not_before(&from)?;
        certificate.set_not_after(&to)?;
        certificate.set_pubkey(&key)?;
        certificate.sign(&key, MessageDigest::sha256())?;
        let certificate = certificate.build();
        let mut pem = String::from_utf8_lossy(&certificate.to_pem()?).into_owned();
        pem.push_str(&String::from_utf8_lossy(&key.private_key_to_pem_pkcs8()?));
        let digest = certificate.digest(MessageDigest::sha256())?;
        // A SHA-256 has as many bytes as its name says.
        let fingerprint =
            Fingerprint::of(HashName::Sha256, &digest).map_or_else(String::new, |named| named.to_string());
        Ok(Self { pem, fingerprint })
    }
}

/// An SDP of ours with this fingerprint. webrtcbin takes the hash over everything in `pem`, the key included.
pub(super) fn with_fingerprint(sdp: &str, fingerprint: &str) -> String {
    let line = |line: &str| match line.strip_prefix("a=fingerprint:") {
        Some(_) => format!("a=fingerprint:{fingerprint}\r\n"),
        None => format!("{line}\r\n"),
    };
    sdp.lines().map(line).collect()
}

/// Whether the certificate that a peer showed is one that its answer named (RFC 8122, section 5; RFC 8827, section 6.5, makes
/// the check a must): without it, somebody between the two could take the pictures.
pub(super) fn is_named(pem: &str, named: &[Fingerprint]) -> bool {
    let Ok(certificate) = X509::from_pem(pem.as_bytes()) else { return false };
    named.iter().any(|named| {
        let hash = match named.hash() {
            HashName::Sha1 => MessageDigest::sha1(),
            HashName::Sha224 => MessageDigest::sha224(),
            HashName::Sha256 => MessageDigest::sha256(),
            HashName::Sha384 => MessageDigest::sha384(),
            HashName::Sha512 => MessageDigest::sha512(),
        };
        certificate.digest(hash).is_ok_and(|shown| *shown == *named.digest())
    })
}

/// What authenticates the packets of a peer, by the keys of its handshake: as `srtpdec` asks for them. `None` before the
/// handshake is through; `None` in it where the profile is not AES-128 with HMAC-SHA1, whose packets this cannot judge.
pub(super) fn peers_authentication(
    dtlsdec: Option<&gst::Element>,
    srtpdec: Option<&gst::Element>,
) -> Option<Option<Authentication>> {
    let (dtlsdec, srtpdec) = (dtlsdec?, srtpdec?);
    if connection_state(dtlsdec)? != "connected" {
        return None;
    }
    // Any source will do: one handshake gives one key.
    let caps = srtpdec.emit_by_name::<Option<gst::Caps>>("request-key", &[&0u32])?;
    Some(master(&caps).and_then(|master| master.authentication().ok()))
}

/// The master key and salt in the caps that describe how SRTP is decrypted.
fn master(caps: &gst::CapsRef) -> Option<Master> {
    let caps = caps.structure(0)?;
    let is_usual = caps.get::<&str>("srtcp-cipher").ok()? == "aes-128-icm"
        && caps.get::<&str>("srtcp-auth").ok()?.starts_with("hmac-sha1");
    let key = caps.get::<gst::Buffer>("srtp-key").ok().filter(|_| is_usual)?;
    let key = key.map_readable().ok()?;
    let (key, salt) = key.split_at_checked(KEY)?;
    Some(Master { key: key.try_into().ok()?, salt: salt.try_into().ok()? })
}

/// How a DTLS element's connection is, by the nick of its enum: the plugin's own, without bindings. `None` where the element
/// does not tell.
pub(in crate::media::gst) fn connection_state(element: &gst::Element) -> Option<String> {
    element.find_property("connection-state")?;
    let state = element.property_value("connection-state");
    gst::glib::EnumValue::from_value(&state).map(|(_, value)| value.nick().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Fingerprint {
        Fingerprint::parse(text).expect("a fingerprint")
    }

    #[test]
    fn a_certificate_is_known_by_its_fingerprint_only() {
        let (ours, other) = (Identity::make().expect("made"), Identity::make().expect("made"));
        assert!(ours.pem.contains("BEGIN CERTIFICATE") && ours.pem.contains("BEGIN PRIVATE KEY"));
        // RFC 8827, section 6.5: the curve that everybody must take.
        let key = X509::from_pem(ours.pem.as_bytes()).and_then(|certificate| certificate.public_key()).expect("a key");
        let curve = key.ec_key().expect("of an elliptic curve").group().curve_name();
        assert_eq!(curve, Some(Nid::X9_62_PRIME256V1));
        let named = [read(&ours.fingerprint)];
        assert!(is_named(&ours.pem, &named));
        assert!(is_named(&ours.pem, &[read(&other.fingerprint), read(&ours.fingerprint)]), "one of several");
        assert!(!is_named(&other.pem, &named));
        assert!(!is_named("", &named) && !is_named(&ours.pem, &[]));
    }

    #[test]
    fn every_hash_of_sdp_is_taken() {
        let ours = Identity::make().expect("made");
        let certificate = X509::from_pem(ours.pem.as_bytes()).expect("reads");
        for (name, hash) in [
            (HashName::Sha1, MessageDigest::sha1()),
            (HashName::Sha224, MessageDigest::sha224()),
            (HashName::Sha384, MessageDigest::sha384()),
            (HashName::Sha512, MessageDigest::sha512()),
        ] {
            let named =
                Fingerprint::of(name, &certificate.digest(hash).expect("hashes")).expect("as long as its name says");
            assert!(is_named(&ours.pem, &[named]), "{name:?}");
        }
    }

    #[test]
    fn certificates_are_renewed() {
        let start = Instant::now();
        let identities = Identities::default();
        let current = |now| identities.current(now).expect("made");
        let first = current(start);
        assert!(Arc::ptr_eq(&first, &current(start + RENEW_AFTER / 2)));
        let second = current(start + RENEW_AFTER);
        assert_ne!(first.fingerprint, second.fingerprint);
    }

    #[test]
    fn an_sdp_names_the_fingerprint_that_counts() {
        let sdp = "v=0\r\nm=video 9 X 96\r\na=fingerprint:sha-256 00\r\na=mid:0\r\n";
        let ours = with_fingerprint(sdp, "sha-256 AA:BB");
        assert_eq!(ours, "v=0\r\nm=video 9 X 96\r\na=fingerprint:sha-256 AA:BB\r\na=mid:0\r\n");
    }
}
