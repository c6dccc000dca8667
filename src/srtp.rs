//! The keys of SRTCP with AES-128 and HMAC-SHA1 (RFC 3711), the profile that every WebRTC stack has: derivation and
//! authentication tags. Owns no key; knows nothing of packets beyond the bytes that are authenticated.

use openssl::{error::ErrorStack, hash::MessageDigest, memcmp, pkey::PKey, sign::Signer, symm};

/// Bytes of the keying material's parts (RFC 5764, section 4.1.2).
pub(crate) const KEY: usize = 16;
/// As above.
pub(crate) const SALT: usize = 14;
/// Bytes of the authentication key and of the tag.
const AUTH_KEY: usize = 20;
/// Bytes of a packet's authentication tag; they are its last.
pub(crate) const TAG: usize = 10;
/// Labels of the key derivation for SRTCP (RFC 3711, section 4.3.2).
const LABEL_ENCRYPTION: u8 = 3;
const LABEL_AUTHENTICATION: u8 = 4;
const LABEL_SALT: u8 = 5;

/// The master key and salt of one direction.
#[derive(Clone, Copy)]
pub(crate) struct Master {
    /// The key.
    pub(crate) key: [u8; KEY],
    /// The salt.
    pub(crate) salt: [u8; SALT],
}

impl Master {
    /// The key that encrypts SRTCP, and the salt of its counter.
    ///
    /// # Errors
    /// OpenSSL's.
    pub(crate) fn encryption(&self) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
        Ok((self.derive(LABEL_ENCRYPTION, KEY)?, self.derive(LABEL_SALT, SALT)?))
    }

    /// What authenticates SRTCP.
    ///
    /// # Errors
    /// OpenSSL's.
    pub(crate) fn authentication(&self) -> Result<Authentication, ErrorStack> {
        PKey::hmac(&self.derive(LABEL_AUTHENTICATION, AUTH_KEY)?).map(Authentication)
    }

    /// RFC 3711, section 4.3.1, with a key derivation rate of zero.
    fn derive(&self, label: u8, length: usize) -> Result<Vec<u8>, ErrorStack> {
        let mut block = [0; 16];
        block[..SALT].copy_from_slice(&self.salt);
        block[7] ^= label;
        symm::encrypt(symm::Cipher::aes_128_ctr(), &self.key, Some(&block), &vec![0; length])
    }
}

/// Makes and checks the tags of one direction.
pub(crate) struct Authentication(PKey<openssl::pkey::Private>);

impl Authentication {
    /// The tag of a packet that ends with its index.
    ///
    /// # Errors
    /// OpenSSL's.
    pub(crate) fn tag(&self, packet: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha1(), &self.0)?;
        signer.update(packet)?;
        let mut tag = signer.sign_to_vec()?;
        tag.truncate(TAG);
        Ok(tag)
    }

    /// Whether a packet ends with its own tag.
    pub(crate) fn is_genuine(&self, packet: &[u8]) -> bool {
        let parts = packet.len().checked_sub(TAG).and_then(|at| packet.split_at_checked(at));
        parts.is_some_and(|(packet, tag)| self.tag(packet).is_ok_and(|own| memcmp::eq(&own, tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    /// RFC 3711, appendix B.3.
    #[test]
    fn keys_are_derived_as_the_rfc_shows() {
        let master = Master {
            key: hex("E1F97A0D3E018BE0D64FA32C06DE4139").try_into().expect("16 bytes"),
            salt: hex("0EC675AD498AFEEBB6960B3AABE6").try_into().expect("14 bytes"),
        };
        let derived = |label, length| master.derive(label, length).expect("OpenSSL");
        assert_eq!(derived(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(derived(1, 16), hex("CEBE321F6FF7716B6FD4AB49AF256A15"));
    }

    #[test]
    fn a_packet_is_genuine_with_its_own_tag_only() {
        let authentication = |byte| Master { key: [byte; KEY], salt: [7; SALT] }.authentication().expect("OpenSSL");
        let (ours, other) = (authentication(1), authentication(2));
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 0, 0, 1];
        packet.extend(ours.tag(&packet).expect("OpenSSL"));
        assert!(ours.is_genuine(&packet) && !other.is_genuine(&packet));
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 1;
            assert!(!ours.is_genuine(&changed), "{at}");
        }
        assert!(
            !ours.is_genuine(&packet[..packet.len() - 1]) && !ours.is_genuine(&[0; TAG - 1]) && !ours.is_genuine(&[])
        );
    }
}
