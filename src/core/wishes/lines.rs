//! Which m-line of a session carries which stream, when the streams are to be others. Pure.

use crate::model::StreamType;

/// One m-line of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The stream that it carries; `None` for a spare one.
    pub stream: Option<StreamType>,
    /// Whether the peer takes pictures on it.
    pub accepted: bool,
}

/// The streams of a session's m-lines when it is to carry these: what stays keeps its line, what is new takes the lines that are
/// free in their order, and then further ones, which the session does not have yet.
pub fn assign(lines: &[Line], wanted: &[StreamType]) -> Vec<Option<StreamType>> {
    let mut assigned: Vec<_> =
        lines.iter().map(|line| line.stream.filter(|stream| line.accepted && wanted.contains(stream))).collect();
    for stream in
        wanted.iter().filter(|stream| !lines.iter().any(|line| line.accepted && line.stream == Some(**stream)))
    {
        match assigned.iter().zip(lines).position(|(taken, line)| taken.is_none() && line.accepted) {
            Some(free) => assigned[free] = Some(*stream),
            None => assigned.push(Some(*stream)),
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use StreamType::{Color, Depth, Infrared};

    fn lines(streams: &[Option<StreamType>]) -> Vec<Line> {
        streams.iter().map(|stream| Line { stream: *stream, accepted: true }).collect()
    }

    #[test]
    fn what_stays_keeps_its_line_and_what_is_new_takes_a_free_one() {
        let two = lines(&[Some(Color), Some(Depth)]);
        assert_eq!(assign(&two, &[Depth, Color]), vec![Some(Color), Some(Depth)], "the order of the wish is nothing");
        assert_eq!(assign(&two, &[Depth]), vec![None, Some(Depth)]);
        assert_eq!(assign(&two, &[Infrared(1), Depth]), vec![Some(Infrared(1)), Some(Depth)]);
        assert_eq!(assign(&two, &[Infrared(1), Infrared(2)]), vec![Some(Infrared(1)), Some(Infrared(2))]);
        assert_eq!(
            assign(&two, &[Color, Depth, Infrared(1)]),
            vec![Some(Color), Some(Depth), Some(Infrared(1))],
            "one more"
        );
        let spare = lines(&[Some(Color), None]);
        assert_eq!(assign(&spare, &[Color, Depth]), vec![Some(Color), Some(Depth)]);
        assert_eq!(assign(&spare, &[]), vec![None, None]);
    }

    #[test]
    fn a_line_that_the_peer_refused_carries_nothing() {
        let mut refused = lines(&[Some(Color), Some(Depth), None]);
        refused[1].accepted = false;
        assert_eq!(assign(&refused, &[Color]), vec![Some(Color), None, None]);
        assert_eq!(assign(&refused, &[Color, Depth]), vec![Some(Color), None, Some(Depth)]);
        assert_eq!(
            assign(&refused, &[Color, Depth, Infrared(1)]),
            vec![Some(Color), None, Some(Depth), Some(Infrared(1))]
        );
    }
}
