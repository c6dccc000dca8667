//! What H.264 says about itself in SDP: profiles, levels and `profile-level-id` (RFC 6184, section 8.1). Owns the table of
//! levels; never looks at a picture, and knows no encoder.

use std::{fmt, str::FromStr};

use crate::model::Profile as Size;

/// A profile as its two bytes in `profile-level-id` and in a sequence parameter set: `profile_idc` and the constraint flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Profile {
    idc: u8,
    constraints: u8,
}

/// Bits of the constraint flags, the first of them the highest.
const SET_0: u8 = 0x80;
const SET_1: u8 = 0x40;
const SET_3: u8 = 0x10;
const SET_4: u8 = 0x08;
const SET_5: u8 = 0x04;

/// What a decoder must be able to do, as far as one profile holds another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// By its bytes only.
    Other,
}

impl Profile {
    /// Constrained baseline, written as all browsers write it.
    pub const CONSTRAINED_BASELINE: Self = Self { idc: 0x42, constraints: 0xe0 };
    /// Main.
    pub const MAIN: Self = Self { idc: 0x4d, constraints: 0 };
    /// High.
    pub const HIGH: Self = Self { idc: 0x64, constraints: 0 };

    /// GStreamer's names of profiles in caps, with their bytes (ITU-T H.264, annex A.2).
    const NAMES: [(&'static str, Self); 14] = [
        ("constrained-baseline", Self::CONSTRAINED_BASELINE),
        ("baseline", Self { idc: 0x42, constraints: 0 }),
        ("main", Self::MAIN),
        ("extended", Self { idc: 0x58, constraints: 0 }),
        ("constrained-high", Self { idc: 0x64, constraints: SET_4 | SET_5 }),
        ("progressive-high", Self { idc: 0x64, constraints: SET_4 }),
        ("high", Self::HIGH),
        ("high-10-intra", Self { idc: 0x6e, constraints: SET_3 }),
        ("high-10", Self { idc: 0x6e, constraints: 0 }),
        ("high-4:2:2-intra", Self { idc: 0x7a, constraints: SET_3 }),
        ("high-4:2:2", Self { idc: 0x7a, constraints: 0 }),
        ("high-4:4:4-intra", Self { idc: 0xf4, constraints: SET_3 }),
        ("high-4:4:4", Self { idc: 0xf4, constraints: 0 }),
        ("cavlc-4:4:4-intra", Self { idc: 0x2c, constraints: SET_3 }),
    ];

    /// The profile that GStreamer's caps call so.
    pub fn from_caps(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, profile)| *profile)
    }

    /// The profile of an access unit's first sequence parameter set (annex B: NAL unit type 7 behind a start code).
    pub fn of_unit(unit: &[u8]) -> Option<Self> {
        let at = unit.windows(4).position(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == 7)?;
        // No start code emulation can lie in these: the first is never 0.
        let (idc, constraints) = (*unit.get(at + 4)?, *unit.get(at + 5)?);
        Some(Self { idc, constraints })
    }

    /// Which of them it is, by RFC 6184, table 5: several bytes mean the same.
    fn kind(self) -> Kind {
        let has = |flag: u8| self.constraints & flag != 0;
        match self.idc {
            0x42 if has(SET_1) => Kind::ConstrainedBaseline,
            0x42 => Kind::Baseline,
            0x4d if has(SET_0) => Kind::ConstrainedBaseline,
            0x4d => Kind::Main,
            0x58 if has(SET_0) && has(SET_1) => Kind::ConstrainedBaseline,
            0x58 if has(SET_0) => Kind::Baseline,
            0x64 if has(SET_4) && has(SET_5) => Kind::ConstrainedHigh,
            0x64 => Kind::High,
            _ => Kind::Other,
        }
    }

    /// Whether a decoder for this profile shows a stream of `other`. Baseline counts as constrained baseline: no encoder makes
    /// what sets them apart, and browsers name the one for the other.
    pub fn shows(self, other: Self) -> bool {
        use Kind::{Baseline, ConstrainedBaseline, ConstrainedHigh, High, Main, Other};
        match (self.kind(), other.kind()) {
            (Other, Other) => self.idc == other.idc,
            (Other, _) | (_, Other) => false,
            (_, ConstrainedBaseline | Baseline) => true,
            (ConstrainedBaseline | Baseline, _) => false,
            (Main, made) => made == Main,
            (ConstrainedHigh, made) => made == ConstrainedHigh,
            (High, Main | ConstrainedHigh | High) => true,
        }
    }

    /// Whether it is the same profile, though its bytes may differ.
    pub fn is_same_as(self, other: Self) -> bool {
        self.shows(other) && other.shows(self)
    }

    /// Whether every browser shows it. RFC 7742, section 6.2, asks for constrained baseline only, and that is all that Firefox
    /// offers; Chromium and Safari take main as well, high only some of them.
    pub fn is_for_all_browsers(self) -> bool {
        Self::CONSTRAINED_BASELINE.shows(self)
    }

    /// What an offer says of a stream of this profile. Baseline is announced as constrained baseline: no encoder makes what sets
    /// them apart, and not every browser knows the one for the other.
    pub fn announced(self) -> Self {
        if self.kind() == Kind::Baseline { Self::CONSTRAINED_BASELINE } else { self }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::NAMES.iter().find(|(_, known)| known == self).map(|(name, _)| *name);
        f.write_str(match (self.kind(), known) {
            (Kind::ConstrainedBaseline, _) => "constrained baseline",
            (Kind::Baseline, _) => "baseline",
            (Kind::Main, _) => "main",
            (Kind::ConstrainedHigh, _) => "constrained high",
            (Kind::High, _) => "high",
            (Kind::Other, Some(name)) => name,
            (Kind::Other, None) => return write!(f, "profile {} ({:#04x})", self.idc, self.constraints),
        })
    }
}

/// `level_idc`: ten times the level's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// 3.1, 720p at 30 pictures a second: what every browser names for itself whatever it can do. Offers name no lower one,
    /// because a level bounds the bit rate, too (3.1: 14 Mbit/s), and small pictures may have a high one here.
    pub const LEAST_OFFERED: Self = Self(31);

    /// Levels with the most macroblocks a second (MaxMBPS) and in a picture (MaxFS): ITU-T H.264 (08/2021), table A-1. 1b is left
    /// out: it differs from 1 by its bit rate only.
    const TABLE: [(u8, u64, u64); 19] = [
        (10, 1_485, 99),
        (11, 3_000, 396),
        (12, 6_000, 396),
        (13, 11_880, 396),
        (20, 11_880, 396),
        (21, 19_800, 792),
        (22, 20_250, 1_620),
        (30, 40_500, 1_620),
        (31, 108_000, 3_600),
        (32, 216_000, 5_120),
        (40, 245_760, 8_192),
        (41, 245_760, 8_192),
        (42, 522_240, 8_704),
        (50, 589_824, 22_080),
        (51, 983_040, 36_864),
        (52, 2_073_600, 36_864),
        (60, 4_177_920, 139_264),
        (61, 8_355_840, 139_264),
        (62, 16_711_680, 139_264),
    ];

    /// The lowest level that holds pictures of this size (pixels) at this rate (a second); the highest there is where none does.
    pub fn of(size: Size) -> Self {
        // A macroblock has 16 x 16 pixels; the last ones of a row and a column may be cut.
        let (width, height) = (u64::from(size.width.div_ceil(16)), u64::from(size.height.div_ceil(16)));
        let picture = width * height;
        let second = picture.saturating_mul(u64::from(size.framerate));
        // Annex A.3.1: no side longer than the root of 8 x MaxFS.
        let holds = |mbps: u64, fs: u64| {
            second <= mbps && picture <= fs && width * width <= 8 * fs && height * height <= 8 * fs
        };
        Self(Self::TABLE.iter().find(|(_, mbps, fs)| holds(*mbps, *fs)).map_or(62, |(level, ..)| *level))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// The value of `profile-level-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileLevelId {
    /// Profile.
    pub profile: Profile,
    /// Level.
    pub level: Level,
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.profile.idc, self.profile.constraints, self.level.0)
    }
}

impl FromStr for ProfileLevelId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 6 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(());
        }
        let [_, idc, constraints, level] = u32::from_str_radix(text, 16).map_err(|_| ())?.to_be_bytes();
        Ok(Self { profile: Profile { idc, constraints }, level: Level(level) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(width: u32, height: u32, framerate: u32) -> String {
        Level::of(Size { width, height, framerate }).to_string()
    }

    #[test]
    fn the_level_holds_the_picture_and_is_the_lowest_that_does() {
        for (width, height, framerate, expected) in [
            (176, 144, 15, "1.0"),
            (176, 144, 30, "1.1"),
            (320, 240, 10, "1.1"),
            (320, 240, 20, "1.2"),
            (352, 288, 30, "1.3"),
            (352, 576, 25, "2.1"),
            (640, 480, 15, "2.2"),
            (640, 480, 30, "3.0"),
            (848, 480, 30, "3.1"),
            (1280, 720, 30, "3.1"),
            (1280, 720, 31, "3.2"),
            (848, 480, 90, "3.2"),
            (1280, 720, 60, "3.2"),
            // 1080 rows are 68 macroblocks, the last one cut.
            (1920, 1080, 30, "4.0"),
            (1920, 1080, 60, "4.2"),
            (1920, 1080, 90, "5.1"),
            (3840, 2160, 30, "5.1"),
            (3840, 2160, 60, "5.2"),
            (7680, 4320, 60, "6.1"),
            // One row of macroblocks, but longer than level 3.2 lets a side be.
            (4096, 16, 1, "4.0"),
            (0, 0, 0, "1.0"),
            (u32::MAX, u32::MAX, u32::MAX, "6.2"),
        ] {
            assert_eq!(level(width, height, framerate), expected, "{width}x{height} at {framerate}");
        }
        assert!(Level::TABLE.is_sorted_by_key(|(level, mbps, fs)| (*level, *mbps, *fs)));
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let full_hd = Level::of(Size { width: 1920, height: 1080, framerate: 30 });
        let id = ProfileLevelId { profile: Profile::HIGH, level: full_hd };
        assert_eq!(id.to_string(), "640028");
        assert_eq!("640028".parse(), Ok(id));
        let id = ProfileLevelId { profile: Profile::CONSTRAINED_BASELINE, level: Level::LEAST_OFFERED };
        assert_eq!((id.to_string().as_str(), "42E01F".parse()), ("42e01f", Ok(id)));
        for bad in ["", "42e01", "42e01f0", "42e01g", "+2e01f", "äää"] {
            assert_eq!(bad.parse::<ProfileLevelId>(), Err(()), "{bad}");
        }
    }

    fn profile(id: &str) -> Profile {
        id.parse::<ProfileLevelId>().expect(id).profile
    }

    #[test]
    fn a_profile_shows_what_its_decoders_can() {
        let baseline = ["42e01f", "42c01f", "42001f", "4d801f", "58c01f"];
        for (shown, by, not_by) in [
            (
                "42e01f",
                &["42e028", "42c01f", "42001f", "4d001f", "64001f", "640c1f", "4d801f", "58c01f"][..],
                &["f4001f"][..],
            ),
            ("4d001f", &["4d0028", "4d401f", "64001f"], &baseline),
            ("64001f", &["640028", "64081f"], &["640c1f", "4d001f", "42e01f", "6e001f"]),
            ("640c1f", &["640c1f", "64001f"], &["4d001f", "42e01f"]),
            ("6e001f", &["6e0028"], &["64001f", "7a001f"]),
        ] {
            for id in by {
                assert!(profile(id).shows(profile(shown)), "{shown} by {id}");
            }
            for id in not_by {
                assert!(!profile(id).shows(profile(shown)), "{shown} by {id}");
            }
        }
    }

    #[test]
    fn profiles_have_gstreamers_names_and_a_persons() {
        for (caps, id, name, all) in [
            ("constrained-baseline", "42e01f", "constrained baseline", true),
            ("baseline", "42001f", "baseline", true),
            ("main", "4d001f", "main", false),
            ("high", "64001f", "high", false),
            ("progressive-high", "64081f", "high", false),
            ("constrained-high", "640c1f", "constrained high", false),
            ("high-4:4:4", "f4001f", "high-4:4:4", false),
        ] {
            let found = Profile::from_caps(caps).expect(caps);
            let id_of = ProfileLevelId { profile: found, level: Level::LEAST_OFFERED };
            assert_eq!((id_of.to_string().as_str(), found.to_string().as_str()), (id, name));
            assert_eq!(found.is_for_all_browsers(), all, "{caps}");
        }
        assert_eq!(Profile::from_caps("nonsense"), None);
        assert!(profile("42c01f").is_same_as(profile("42e01f")) && !profile("4d001f").is_same_as(profile("42e01f")));
    }

    #[test]
    fn a_unit_tells_its_profile() {
        let unit = [0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 0x64, 0x00, 0x1e, 0xac];
        assert_eq!(Profile::of_unit(&unit), Some(Profile::HIGH));
        for cut in 0..12 {
            assert_eq!(Profile::of_unit(&unit[..cut]), None, "{cut}");
        }
    }
}
