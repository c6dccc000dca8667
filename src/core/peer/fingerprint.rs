//! Reads the fingerprints of DTLS certificates (RFC 8122, section 5) and writes them in one form. Never sees a certificate.

use std::fmt;

/// A hash function that RFC 8122 has in its grammar and that is fit for use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashName {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256, what browsers use.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashName {
    const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name in SDP: "sha-256".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// What a certificate's hash must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashName,
    digest: Vec<u8>,
}

/// Why a fingerprint is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// A hash function that is not known, or not to be relied on (MD5): others beside it count (RFC 8122, section 5).
    UnknownHash,
    /// It is not of the form `sha-256 AB:CD:…`, or has not as many bytes as the hash function makes.
    Malformed,
}

impl Fingerprint {
    /// Of a digest; `None` where it has not as many bytes as the hash function makes.
    pub fn of(hash: HashName, digest: &[u8]) -> Option<Self> {
        (digest.len() == hash.digest_len()).then(|| Self { hash, digest: digest.to_vec() })
    }

    /// Reads the value of `a=fingerprint`.
    ///
    /// # Errors
    /// What it lacks.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let (name, digest) = text.trim_matches(' ').split_once(' ').ok_or(Unusable::Malformed)?;
        let hash = HashName::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
        let hash = hash.ok_or(Unusable::UnknownHash)?;
        let byte = |text: &str| {
            let shaped = text.len() == 2 && text.bytes().all(|c| c.is_ascii_hexdigit());
            shaped.then(|| u8::from_str_radix(text, 16).ok()).flatten()
        };
        let digest: Vec<u8> =
            digest.trim_matches(' ').split(':').map(byte).collect::<Option<_>>().ok_or(Unusable::Malformed)?;
        if digest.len() == hash.digest_len() { Ok(Self { hash, digest }) } else { Err(Unusable::Malformed) }
    }

    /// The hash function.
    pub fn hash(&self) -> HashName {
        self.hash
    }

    /// What it makes of the certificate's DER form; as long as [`HashName::digest_len`] says.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.digest.iter().map(|byte| format!("{byte:02X}")).collect();
        write!(f, "{} {}", self.hash.as_str(), bytes.join(":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA_1: &str = "sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";

    #[test]
    fn a_fingerprint_comes_out_in_one_form() {
        let read = Fingerprint::parse(SHA_1).expect("good");
        assert_eq!((read.hash(), read.digest().len(), read.digest()[0]), (HashName::Sha1, 20, 0x4a));
        for other in [SHA_1.to_uppercase(), SHA_1.to_lowercase(), SHA_1.replace("1 4", "1  4"), format!(" {SHA_1} ")] {
            assert_eq!(Fingerprint::parse(&other).expect(&other).to_string(), SHA_1);
        }
        for hash in HashName::ALL {
            let text = format!("{} {}", hash.as_str(), vec!["0A"; hash.digest_len()].join(":"));
            assert_eq!(Fingerprint::parse(&text).expect("good").to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_told_from_what_is_not_known() {
        for unknown in ["md5 4A:AD", "sha-999 00", "x y"] {
            assert_eq!(Fingerprint::parse(unknown), Err(Unusable::UnknownHash), "{unknown}");
        }
        for bad in [
            String::new(),
            "sha-1".into(),
            "sha-1 ".into(),
            SHA_1.replace("4A:AD", "4AAD"),
            SHA_1.replace("4A:", ""),
            SHA_1.replace("4A:", "4A:4A:"),
            SHA_1.replace("4A", "+A"),
            SHA_1.replace("4A", "4G"),
            SHA_1.replace(" 4A", " \r4A"),
            SHA_1.replace("AB", "AB\r"),
            format!("{SHA_1}:"),
            format!("{SHA_1} x"),
        ] {
            assert_eq!(Fingerprint::parse(&bad), Err(Unusable::Malformed), "{bad:?}");
        }
    }
}
