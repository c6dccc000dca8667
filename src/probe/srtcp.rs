//! RTCP that no receiver sends: takes the keys of a receiver's own DTLS handshake and protects whatever packet it is given
//! (SRTCP with AES-128 and HMAC-SHA1, RFC 3711). Owns the way to the keys; decides nothing about what is sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use openssl::{error::ErrorStack, symm};
use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{
        DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
    },
};

use crate::{
    srtp::{Authentication, KEY, Master, SALT},
    sync::{Mutex, lock},
};

/// The bit that says that the packet is encrypted (RFC 3711, section 3.4).
const ENCRYPTED: u32 = 1 << 31;
/// Keys that nobody fetched are forgotten beyond this number.
const MAX_KEYS: usize = 256;

/// The master key and salt of what this side sends, by its certificate in DER.
static KEYS: Mutex<BTreeMap<Vec<u8>, Master>> = Mutex::new(BTreeMap::new());

/// str0m's usual cryptography, which lets [`Protector::of`] have the keys of the handshake.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static TAP: Tap = Tap;
    let usual = str0m::crypto::from_feature_flags();
    Arc::new(CryptoProvider { dtls_provider: &TAP, ..usual })
}

fn usual() -> &'static dyn DtlsProvider {
    static USUAL: OnceLock<CryptoProvider> = OnceLock::new();
    USUAL.get_or_init(str0m::crypto::from_feature_flags).dtls_provider
}

#[derive(Debug)]
struct Tap;

impl DtlsProvider for Tap {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        usual().generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = usual().new_dtls(certificate, now, version, mtu)?;
        Ok(Box::new(Tapped { inner, certificate: certificate.certificate.clone() }))
    }
}

#[derive(Debug)]
struct Tapped {
    inner: Box<dyn DtlsInstance>,
    certificate: Vec<u8>,
}

impl DtlsInstance for Tapped {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let active = self.inner.is_active();
        let output = self.inner.poll_output(buffer);
        if let DtlsOutput::KeyingMaterial(material, SrtpProfile::AES128_CM_SHA1_80) = &output
            && let Some(master) = own(material, active)
        {
            let mut keys = lock(&KEYS);
            if keys.len() >= MAX_KEYS {
                keys.clear();
            }
            keys.insert(self.certificate.clone(), master);
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

/// Of the client's key, the server's key, the client's salt and the server's salt, what one side has; the active side is the
/// client.
fn own(material: &[u8], active: bool) -> Option<Master> {
    let (keys, salts) = material.split_at_checked(2 * KEY)?;
    let side = usize::from(!active);
    let key = keys.get(side * KEY..(side + 1) * KEY)?.try_into().ok()?;
    let salt = salts.get(side * SALT..(side + 1) * SALT)?.try_into().ok()?;
    Some(Master { key, salt })
}

/// Protects RTCP packets.
pub(super) struct Protector {
    key: Vec<u8>,
    salt: Vec<u8>,
    authentication: Authentication,
    index: u32,
}

impl Protector {
    /// For the side that showed this certificate; `None` before its handshake is through.
    ///
    /// # Errors
    /// OpenSSL's.
    pub(super) fn of(certificate: &[u8]) -> Result<Option<Self>, ErrorStack> {
        let master = lock(&KEYS).remove(certificate);
        let Some(master) = master else { return Ok(None) };
        let ((key, salt), authentication) = (master.encryption()?, master.authentication()?);
        // Far from where str0m counts its own packets.
        Ok(Some(Self { key, salt, authentication, index: 1 << 20 }))
    }

    /// A packet as it goes over the wire; `None` for one without a whole header.
    ///
    /// # Errors
    /// OpenSSL's.
    pub(super) fn protect(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, ErrorStack> {
        let Some((header, body)) = packet.split_at_checked(8) else { return Ok(None) };
        self.index = (self.index + 1) & !ENCRYPTED;
        let mut iv = [0; 16];
        iv[..SALT].copy_from_slice(&self.salt);
        // The SSRC is the second word of the header, and of the IV's left part; the index ends before the block counter.
        (4..8).for_each(|at| iv[at] ^= header[at]);
        for (at, byte) in self.index.to_be_bytes().iter().enumerate() {
            iv[10 + at] ^= byte;
        }
        let mut out = header.to_vec();
        out.extend(symm::encrypt(symm::Cipher::aes_128_ctr(), &self.key, Some(&iv), body)?);
        out.extend((self.index | ENCRYPTED).to_be_bytes());
        let tag = self.authentication.tag(&out)?;
        out.extend(tag);
        Ok(Some(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_have_their_own_keys() {
        let material: Vec<u8> = (0..60).collect();
        let client = own(&material, true).expect("long enough");
        let server = own(&material, false).expect("long enough");
        assert_eq!((client.key[0], client.salt[0]), (0, 32));
        assert_eq!((server.key[0], server.salt[0]), (16, 46));
        assert!(own(&material[..40], true).is_none());
    }
}
