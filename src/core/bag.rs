//! Follows the index of a ROS bag (format 2.0, <http://wiki.ros.org/Bags/Format/2.0>) from chunk to chunk, as librealsense
//! does when it opens one, and says what librealsense would not survive. Reads headers only, never what is in a chunk; holds
//! one header at a time.

use std::{
    collections::BTreeSet,
    io::{self, Read, Seek, SeekFrom},
};

/// How a file begins in whose first line librealsense looks for a version. It reads `#ROS%s V%d.%d` with room for 100
/// characters of the word, so any other word is taken for a bag, and a long one overflows its stack.
const MAGIC: &[u8] = b"#ROS";
/// How the bags of every version begin.
const BAG: &[u8] = b"#ROSBAG V";
/// The whole first line of the only format that librealsense writes.
const VERSION_LINE: &[u8] = b"#ROSBAG V2.0\n";
/// Longest header of a record in bytes. Its longest field is a topic's name, of a hundred or so.
const MAX_HEADER: u32 = 64 << 10;
/// Longest description of a topic in bytes: it has the definitions of the topic's messages in it, some kilobytes each.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// Most records looked at: for each chunk its own, one in the index, and one for each topic that is in it. At rosbag's usual
/// 768 KiB a chunk and ten topics these are 270 GB.
const MAX_RECORDS: u64 = 1 << 22;
/// Largest chunk in bytes: librealsense keeps a whole one in memory, and more than this no camera makes before a chunk is full.
const MAX_CHUNK: u64 = 1 << 30;
/// Most that LZ4 can make of a byte.
const LZ4_RATIO: u64 = 255;

/// Kinds of records that are looked at (the header's field "op").
const OP_BAG: u8 = 3;
const OP_INDEX_DATA: u8 = 4;
const OP_CHUNK: u8 = 5;
const OP_CHUNK_INFO: u8 = 6;
const OP_CONNECTION: u8 = 7;

/// Why a bag is not to be given to librealsense.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// Its chunks are compressed in a way that librealsense does not know: it jumps to nowhere at bz2 (2.56 and 2.59).
    #[error("is compressed with {0}, which librealsense cannot read; decompress it (`rosbag decompress`)")]
    Compression(String),
    /// It is of another version of the format.
    #[error("is a bag of another version than 2.0, the only one that librealsense plays; convert it (`rosbag fix`)")]
    Version,
    /// It is cut short, or what its index says is not so.
    #[error("cannot be played: {0}. It is cut short or damaged; `rosbag reindex` may rescue it")]
    Damaged(&'static str),
    /// It has too many records to look at.
    #[error("cannot be played: it has more than {MAX_RECORDS} records. Split it (`rosbag filter`)")]
    TooLong,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

type Result<T> = std::result::Result<T, Misfit>;

/// One record's header, and where its data lies.
struct Record {
    fields: Vec<u8>,
    data_at: u64,
    data_len: u64,
}

/// Checks every chunk's header. What does not begin as a bag passes: librealsense tells other files by itself.
///
/// # Errors
/// Why librealsense must not be given this bag.
pub fn check(bag: &mut (impl Read + Seek)) -> Result<()> {
    let end = bag.seek(SeekFrom::End(0))?;
    bag.seek(SeekFrom::Start(0))?;
    let mut line = Vec::with_capacity(VERSION_LINE.len());
    bag.by_ref().take(VERSION_LINE.len() as u64).read_to_end(&mut line)?;
    if !line.starts_with(MAGIC) {
        return Ok(());
    }
    if line != VERSION_LINE {
        let of_a_bag = line.starts_with(BAG);
        return Err(if of_a_bag { Misfit::Version } else { Misfit::Damaged("its first line is not a bag's") });
    }
    let mut reader = Reader { bag, end, left: MAX_RECORDS };
    let head = reader.record(VERSION_LINE.len() as u64)?;
    if head.op() != Some(OP_BAG) {
        return Err(Misfit::Damaged("its first record is not a bag's"));
    }
    let index_at = head.number::<8>("index_pos").ok_or(Misfit::Damaged("it does not say where its index is"))?;
    if index_at == 0 {
        return Err(Misfit::Damaged("it has no index, because it was not completed"));
    }
    let count = |name| head.number::<4>(name).ok_or(Misfit::Damaged("it does not say how long its index is"));
    // What lies behind the index is nobody's.
    let records = count("conn_count")? + count("chunk_count")?;
    let mut at = index_at;
    for _ in 0..records {
        let record = reader.record(at)?;
        at = record.end();
        match record.op() {
            Some(OP_CONNECTION) => reader.check_description(&record)?,
            Some(OP_CHUNK_INFO) => {
                let chunk_at = record
                    .number::<8>("chunk_pos")
                    .ok_or(Misfit::Damaged("its index does not say where a chunk is"))?;
                let topics =
                    record.number::<4>("count").ok_or(Misfit::Damaged("its index does not say what is in a chunk"))?;
                let mut at = reader.check_chunk(chunk_at)?;
                for _ in 0..topics {
                    let of_topic = reader.record(at)?;
                    if of_topic.op() != Some(OP_INDEX_DATA) {
                        return Err(Misfit::Damaged("a chunk's own index is missing"));
                    }
                    at = of_topic.end();
                }
            }
            _ => return Err(Misfit::Damaged("something else is where its index should be")),
        }
    }
    Ok(())
}

struct Reader<'a, B> {
    bag: &'a mut B,
    end: u64,
    /// How many more records are looked at.
    left: u64,
}

impl<B: Read + Seek> Reader<'_, B> {
    fn length(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.bag.read_exact(&mut bytes).map_err(cut_short)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// The record at a place, if it and its data lie within the file.
    fn record(&mut self, at: u64) -> Result<Record> {
        self.left = self.left.checked_sub(1).ok_or(Misfit::TooLong)?;
        if at >= self.end {
            return Err(Misfit::Damaged("a record is said to begin behind its end"));
        }
        self.bag.seek(SeekFrom::Start(at))?;
        let header_len = self.length()?;
        if header_len > MAX_HEADER {
            return Err(Misfit::Damaged("a record's header is too long"));
        }
        let mut fields = vec![0; header_len as usize];
        self.bag.read_exact(&mut fields).map_err(cut_short)?;
        check_fields(&fields)?;
        let data_len = u64::from(self.length()?);
        // Not above the file's length plus a few bytes, so nothing overflows.
        let data_at = at + 8 + u64::from(header_len);
        if data_at + data_len > self.end {
            return Err(Misfit::Damaged("a record goes beyond its end"));
        }
        Ok(Record { fields, data_at, data_len })
    }

    /// A topic's description, which is made like a header.
    fn check_description(&mut self, topic: &Record) -> Result<()> {
        if topic.data_len > MAX_DESCRIPTION {
            return Err(Misfit::Damaged("a topic's description is too long"));
        }
        self.bag.seek(SeekFrom::Start(topic.data_at))?;
        let mut fields = Vec::new();
        self.bag.by_ref().take(topic.data_len).read_to_end(&mut fields)?;
        check_fields(&fields)
    }

    /// Gives the place behind the chunk.
    fn check_chunk(&mut self, at: u64) -> Result<u64> {
        let chunk = self.record(at)?;
        if chunk.op() != Some(OP_CHUNK) {
            return Err(Misfit::Damaged("something else is where a chunk should be"));
        }
        let size = chunk.number::<4>("size").ok_or(Misfit::Damaged("a chunk does not tell its size"))?;
        let fits = match chunk.field("compression") {
            Some(b"none") => size == chunk.data_len,
            Some(b"lz4") => size <= chunk.data_len.saturating_mul(LZ4_RATIO),
            Some(other) => return Err(Misfit::Compression(shown(other))),
            None => return Err(Misfit::Damaged("a chunk does not tell its compression")),
        };
        if !fits || size > MAX_CHUNK {
            return Err(Misfit::Damaged("a chunk tells a size that cannot be"));
        }
        Ok(chunk.end())
    }
}

/// Whether a header is nothing but fields, `name=value`, each after its length and no name twice: librealsense reads beyond the
/// end of others, and of two fields of a name it takes the last.
fn check_fields(mut rest: &[u8]) -> Result<()> {
    let mut names = BTreeSet::new();
    while !rest.is_empty() {
        let field = first_field(rest).filter(|(name, _, _)| names.insert(*name));
        (_, _, rest) = field.ok_or(Misfit::Damaged("a record's header is not made of fields"))?;
    }
    Ok(())
}

/// The name and value of a header's first field, and what is behind it.
fn first_field(header: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, behind) = header.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (field, next) = behind.split_at_checked(len)?;
    let (name, value) = field.split_at_checked(field.iter().position(|byte| *byte == b'=')?)?;
    Some((name, value.get(1..)?, next))
}

impl Record {
    fn end(&self) -> u64 {
        self.data_at + self.data_len
    }

    /// A field of the header.
    fn field(&self, wanted: &str) -> Option<&[u8]> {
        let mut rest = self.fields.as_slice();
        while let Some((name, value, next)) = first_field(rest) {
            if name == wanted.as_bytes() {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    /// A number of `N` bytes, 8 at most.
    fn number<const N: usize>(&self, name: &str) -> Option<u64> {
        let value: &[u8; N] = self.field(name)?.try_into().ok()?;
        let mut bytes = [0; 8];
        bytes.get_mut(..N)?.copy_from_slice(value);
        Some(u64::from_le_bytes(bytes))
    }

    fn op(&self) -> Option<u8> {
        self.field("op").and_then(|value| <[u8; 1]>::try_from(value).ok()).map(|[op]| op)
    }
}

/// What a file says for a person to read: short, and nothing but plain characters.
fn shown(value: &[u8]) -> String {
    let text: String = value.iter().take(16).map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect();
    if text.is_empty() { "something unknown".into() } else { text }
}

fn cut_short(error: io::Error) -> Misfit {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Misfit::Damaged("it ends in the middle of a record"),
        _ => Misfit::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn fields(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut header = Vec::new();
        for (name, value) in fields {
            let len = u32::try_from(name.len() + 1 + value.len()).unwrap();
            header.extend(len.to_le_bytes());
            header.extend([name.as_bytes(), b"=", value].concat());
        }
        header
    }

    fn record(fields: &[(&str, &[u8])], data: &[u8]) -> Vec<u8> {
        let header = self::fields(fields);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&length(&header), header.as_slice(), &length(data), data].concat()
    }

    fn head(index_at: u64, chunks: u32) -> Vec<u8> {
        let fields: [(&str, &[u8]); 4] = [
            ("op", &[OP_BAG]),
            ("index_pos", &index_at.to_le_bytes()),
            ("conn_count", &1u32.to_le_bytes()),
            ("chunk_count", &chunks.to_le_bytes()),
        ];
        [VERSION_LINE, &record(&fields, &[b' '; 100])].concat()
    }

    /// A bag with chunks of these compressions and told sizes, of 100 bytes each.
    fn bag(chunks: &[(&str, u32)]) -> Vec<u8> {
        bag_of(chunks, 100)
    }

    /// A bag whose chunks have so many bytes.
    fn bag_of(chunks: &[(&str, u32)], data_len: usize) -> Vec<u8> {
        let count = u32::try_from(chunks.len()).unwrap();
        let mut bytes = head(0, count);
        let mut places = Vec::new();
        for (compression, size) in chunks {
            places.push(bytes.len() as u64);
            let fields: [(&str, &[u8]); 3] =
                [("op", &[OP_CHUNK]), ("compression", compression.as_bytes()), ("size", &size.to_le_bytes())];
            bytes.extend(record(&fields, &vec![7; data_len]));
            bytes.extend(record(&[("op", &[OP_INDEX_DATA]), ("conn", &[0; 4])], &[0; 12]));
        }
        let index_at = bytes.len() as u64;
        let description = fields(&[("type", b"diagnostic_msgs/KeyValue"), ("message_definition", b"string key")]);
        bytes.extend(record(&[("op", &[OP_CONNECTION]), ("topic", b"/device_0/info")], &description));
        for place in places {
            let fields: [(&str, &[u8]); 3] =
                [("op", &[OP_CHUNK_INFO]), ("chunk_pos", &place.to_le_bytes()), ("count", &1u32.to_le_bytes())];
            bytes.extend(record(&fields, &[0; 8]));
        }
        let head = head(index_at, count);
        bytes[..head.len()].copy_from_slice(&head);
        bytes
    }

    fn checked(bytes: &[u8]) -> std::result::Result<(), String> {
        check(&mut Cursor::new(bytes)).map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn what_librealsense_plays_passes() {
        for chunks in [&[("none", 100)][..], &[("lz4", 2000), ("none", 100)], &[]] {
            assert_eq!(checked(&bag(chunks)), Ok(()), "{chunks:?}");
        }
        for other in [&b""[..], b"SQLite format 3\0", b"#RO", b"this is no bag"] {
            assert_eq!(checked(other), Ok(()), "librealsense tells it by itself");
        }
    }

    #[test]
    fn what_librealsense_would_take_for_a_bag_is_checked_as_one() {
        let bz2 = bag(&[("bz2", 100)]);
        let mut other_word = bz2.clone();
        other_word[6] = b'X';
        let long_word = [b"#ROS".as_slice(), &[b'A'; 800], b" V2.0\n", &bz2[VERSION_LINE.len()..]].concat();
        for bytes in [other_word, long_word, b"#ROS".to_vec()] {
            assert!(checked(&bytes).unwrap_err().contains("first line"), "{}", bytes.len());
        }
    }

    #[test]
    fn headers_are_made_of_fields_and_nothing_else() {
        let none: (&str, &[u8]) = ("compression", b"none");
        for (header, is_right) in [
            (fields(&[none, ("size", &[0; 4])]), true),
            (fields(&[none, ("compression", b"bz2")]), false),
            ([fields(&[none]).as_slice(), &[1, 2]].concat(), false),
            ([fields(&[none]).as_slice(), &[0, 0, 16, 0], b"a=b"].concat(), false),
            (b"\x03\0\0\0abc".to_vec(), false),
            (Vec::new(), true),
        ] {
            assert_eq!(check_fields(&header).is_ok(), is_right, "{header:?}");
        }
        // Every record's header is checked, not only the description of a topic.
        let good = bag(&[("none", 100)]);
        let at = good.windows(4).position(|window| window == b"size").unwrap();
        let mut twice = good.clone();
        // "size" becomes a second field of another's name, of the same length.
        twice[at..at + 4].copy_from_slice(b"op\x3d\x05");
        assert!(checked(&twice).unwrap_err().contains("not made of fields"), "{:?}", checked(&twice));
        // A topic's description is one, too.
        let mut bytes = bag(&[("none", 100)]);
        let at = bytes.windows(4).position(|window| window == b"type").unwrap();
        bytes[at - 2] = 0x0f;
        assert!(checked(&bytes).unwrap_err().contains("not made of fields"));
    }

    #[test]
    fn any_other_compression_is_told_by_name_wherever_it_stands() {
        let said = "is compressed with bz2, which librealsense cannot read; decompress it (`rosbag decompress`)";
        for chunks in [&[("bz2", 100)][..], &[("lz4", 100), ("none", 100), ("bz2", 9000)]] {
            assert_eq!(checked(&bag(chunks)), Err(said.into()), "{chunks:?}");
        }
        for (told, shown) in [("zstd", "zstd"), ("LZ4", "LZ4"), ("b\x1b[2z", "b[2z"), ("\0\u{1}", "something unknown")]
        {
            let error = checked(&bag(&[(told, 100)])).unwrap_err();
            assert!(error.contains(&format!("compressed with {shown},")), "{error}");
        }
        let endless = checked(&bag(&[(&"z".repeat(60_000), 100)])).unwrap_err();
        assert!(endless.len() < 200, "{endless}");
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for chunk in [("none", 99), ("none", 101), ("lz4", 25_501), ("lz4", u32::MAX), ("none", 0)] {
            assert!(checked(&bag(&[chunk])).unwrap_err().contains("size"), "{chunk:?}");
        }
    }

    #[test]
    fn a_chunk_or_a_description_that_would_take_much_memory_is_refused() {
        // Enough bytes that LZ4 could make so much of them.
        let bytes = (MAX_CHUNK / LZ4_RATIO + 1000) as usize;
        for (size, fits) in [(MAX_CHUNK, true), (MAX_CHUNK + 1, false)] {
            let size = u32::try_from(size).unwrap();
            assert_eq!(checked(&bag_of(&[("lz4", size)], bytes)).is_ok(), fits, "{size}");
        }
        let field = |len: u64| fields(&[("a", &vec![b'x'; usize::try_from(len).unwrap() - 6])]);
        for (len, fits) in [(MAX_DESCRIPTION, true), (MAX_DESCRIPTION + 1, false)] {
            let description = field(len);
            assert_eq!(description.len() as u64, len);
            let index_at = head(0, 0).len() as u64;
            let bytes = [head(index_at, 0), record(&[("op", &[OP_CONNECTION])], &description)].concat();
            assert_eq!(checked(&bytes).is_ok(), fits, "{len}: {:?}", checked(&bytes));
        }
    }

    #[test]
    fn a_record_of_another_kind_is_refused_wherever_it_stands() {
        let whole = bag(&[("lz4", 500), ("none", 100)]);
        for (op, words) in [
            (OP_BAG, "its first record is not a bag's"),
            (OP_CHUNK, "something else is where a chunk should be"),
            (OP_INDEX_DATA, "a chunk's own index is missing"),
            (OP_CONNECTION, "something else is where its index should be"),
            (OP_CHUNK_INFO, "something else is where its index should be"),
        ] {
            let mut other = whole.clone();
            let at = other.windows(4).position(|window| window == [b'o', b'p', b'=', op]).unwrap();
            other[at + 3] = 9;
            let error = checked(&other).unwrap_err();
            assert!(error.contains(words), "{op}: {error}");
        }
    }

    #[test]
    fn a_bag_that_was_not_completed_or_is_cut_is_refused() {
        let whole = bag(&[("lz4", 500), ("none", 100)]);
        for len in VERSION_LINE.len()..whole.len() {
            assert!(checked(&whole[..len]).is_err(), "{len} of {} bytes", whole.len());
        }
        let behind = [whole.as_slice(), b"what somebody appended"].concat();
        assert_eq!(checked(&behind), Ok(()), "librealsense does not look there either");
        assert!(checked(&head(0, 0)).unwrap_err().contains("not completed"));
        assert!(checked(&head(u64::MAX, 1)).is_err() && checked(&head(13, 1)).is_err());
        // Headers of gigabytes: librealsense 2.56 hangs at one.
        for op in [OP_INDEX_DATA, OP_CHUNK, OP_CHUNK_INFO] {
            let header = record(&[("op", &[op])], &[])[4..12].to_vec();
            let mut long = whole.clone();
            let at = long.windows(8).position(|window| *window == header).unwrap();
            // The highest byte of the header's length, which stands before its first field.
            long[at - 1] = 0xbe;
            assert!(checked(&long).unwrap_err().contains("too long"), "{op}");
        }
    }

    #[test]
    fn the_work_is_bounded() {
        // Connections without end, of 19 bytes each.
        let index_at = head(0, 0).len() as u64;
        let mut bytes = head(index_at, u32::MAX);
        let connection = record(&[("op", &[OP_CONNECTION])], b"");
        bytes.extend(connection.repeat(usize::try_from(MAX_RECORDS).unwrap()));
        assert!(checked(&bytes).unwrap_err().contains("more than 4194304 records"));
        assert!(checked(b"#ROSBAG V1.2\n1234567890").unwrap_err().contains("rosbag fix"));
    }

    proptest! {
        /// Whatever a file says, it is looked at in no more memory than a header takes, and without a panic.
        #[test]
        fn damage_is_survived(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = bag(&[("lz4", 500), ("none", 100)]);
            for (place, value) in places {
                let at = place.index(bytes.len());
                bytes[at] = value;
            }
            let _ = checked(&bytes);
        }
    }
}
