//! How recordings are played: from the beginning to the end and again, paused, sent elsewhere, slow and fast; and what comes and
//! goes meanwhile.

use std::time::{Duration, Instant};

use realsense_webrtc::{camera::PlaybackCommand, error::Kind as ErrorKind, model::StreamType};

use crate::{
    bench::{Bench, Kind},
    recorded::{Recorded, play, record, record_part, short_recording},
};

#[test]
fn a_recording_begins_again_and_counts_on() {
    let recorded = short_recording();
    let mut played = play(&recorded.file, true);
    played.start_all();
    let (mut rounds, mut last, mut frames) = (0, 0, 0_u32);
    played.run_until(|played| {
        if let Ok(frame) = played.frames.recv_timeout(Duration::from_millis(100)) {
            rounds += u32::from(frame.number < last);
            last = frame.number;
            frames += 1;
        }
        rounds == 3
    });
    // No frame comes double, whatever round it is.
    let recorded = u32::try_from(recorded.frames.len()).expect("few");
    assert!(frames <= 3 * recorded + 6, "{frames} frames in three rounds of {recorded}");
    assert!(!played.camera().is_paused());
    // From now on it ends at its end.
    played.playback(PlaybackCommand::Repeat(false));
    played.run_until(|played| {
        last = played.frames.recv_timeout(Duration::from_millis(50)).map_or(last, |frame| frame.number);
        played.camera().is_paused()
    });
    last = played.frames.try_iter().last().map_or(last, |frame| frame.number);
    // What is held is still shown, so that whoever joins sees it.
    played.camera().tick();
    assert_eq!(played.frame().number, last, "the last picture again");
    // And resuming begins at the beginning.
    let status = played.playback(PlaybackCommand::Resume);
    assert!(!status.is_paused, "{status:?}");
    let first = played.frame();
    assert!(first.number < last);
}

#[test]
fn another_sensor_begins_where_the_first_one_ended() {
    let which: [(usize, &[StreamType]); 2] = [(0, &[StreamType::Depth]), (1, &[StreamType::Color])];
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &which, Duration::from_millis(2500));
    let mut played = play(&recorded.file, false);
    // Colour for a moment: its frames must not make depth's start look like an end.
    played.start(1, &[StreamType::Color]);
    played.frame_of(StreamType::Color);
    played.camera().stop(1);
    played.start(0, &[StreamType::Depth]);
    played.camera().tick();
    assert!(!played.camera().is_paused(), "it has just begun");
    played.frame_of(StreamType::Depth);
    // At the end another sensor lets all begin again.
    played.run_until(|played| {
        while played.frames.try_recv().is_ok() {}
        played.camera().is_paused()
    });
    played.start(1, &[StreamType::Color]);
    assert!(!played.camera().is_paused());
    played.frame_of(StreamType::Color);
    played.frame_of(StreamType::Depth);
}

/// A recording of three seconds of colour, with depth in the first of its pictures only.
fn record_with_few_of_depth(count: usize) -> Recorded {
    let which: [(usize, &[StreamType]); 2] = [(0, &[StreamType::Depth]), (1, &[StreamType::Color])];
    let mut depth = 0;
    record_part(&mut Bench::new(Kind::SoftwareDevice), &which, Duration::from_secs(3), |frame| {
        depth += usize::from(frame.stream == StreamType::Depth);
        frame.stream == StreamType::Color || depth <= count
    })
}

/// To go on after a pause, the SDK looks for a frame behind the one shown last, and looks for ever where there is none.
#[test]
fn a_sensor_stops_where_nothing_is_left_to_the_others() {
    let recorded = record_with_few_of_depth(15);
    for repeat in [true, false] {
        let mut played = play(&recorded.file, repeat);
        played.start_all();
        played.frame_of(StreamType::Depth);
        // Until depth has ended, and colour goes on.
        let mut newest = Instant::now();
        played.run_until(|played| {
            if played.frames.try_iter().any(|frame| frame.stream == StreamType::Depth) {
                newest = Instant::now();
            }
            newest.elapsed() > Duration::from_millis(700)
        });
        assert!(!played.camera().is_paused() && played.camera().is_silent_by_intent(), "it is no stall");
        let begun = Instant::now();
        played.camera().stop(1);
        assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
        if repeat {
            while played.next().stream != StreamType::Depth {}
        } else {
            played.run_until(|played| played.camera().is_paused());
            while played.frames.try_recv().is_ok() {}
            played.start(1, &[StreamType::Color]);
            played.frame_of(StreamType::Color);
            played.frame_of(StreamType::Depth);
        }
    }
}

#[test]
fn it_goes_on_behind_the_end_of_what_is_watched() {
    let recorded = record_with_few_of_depth(15);
    let mut played = play(&recorded.file, true);
    played.start(0, &[StreamType::Depth]);
    for before_the_end in [0, 5, 20, 40, 100, 1200] {
        while played.next().stream != StreamType::Depth {}
        let duration = Duration::from_secs_f64(played.camera().playback(None).expect("a status").duration);
        let place = duration - Duration::from_millis(before_the_end);
        let begun = Instant::now();
        played.playback(PlaybackCommand::Seek(place));
        played.playback(PlaybackCommand::Pause);
        played.playback(PlaybackCommand::Seek(place));
        played.playback(PlaybackCommand::Resume);
        assert!(begun.elapsed() < Duration::from_secs(3), "{before_the_end} ms: it took {:?}", begun.elapsed());
        while played.frames.try_recv().is_ok() {}
    }
}

/// Nobody else sees that a sensor of a recording is started or stopped.
#[test]
fn what_comes_and_goes_leaves_the_rest_of_a_recording_alone() {
    let which: [(usize, &[StreamType]); 2] = [(0, &[StreamType::Depth]), (1, &[StreamType::Color])];
    // Longer than a busy machine takes for what follows: at its end it would begin again.
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &which, Duration::from_secs(8));
    let mut played = play(&recorded.file, true);
    played.start(1, &[StreamType::Color]);
    // The jump to the beginning that every start ends with comes late on a busy machine: it shows a few pictures twice.
    for _ in 0..20 {
        played.frame();
    }
    let mut colour = vec![played.frame().number];
    for _ in 0..5 {
        played.start(0, &[StreamType::Depth]);
        loop {
            let frame = played.frame();
            match frame.stream {
                StreamType::Color => colour.push(frame.number),
                _ => break,
            }
        }
        played.camera().stop(0);
        colour.extend(
            played.frames.try_iter().filter(|frame| frame.stream == StreamType::Color).map(|frame| frame.number),
        );
        let next = played.frame();
        assert_eq!(next.stream, StreamType::Color, "depth is stopped");
        colour.push(next.number);
    }
    assert!(colour.is_sorted_by(|one, next| one < next), "{colour:?}");
}

/// A sensor whose streams change is stopped and started.
#[test]
fn whoever_watches_something_else_goes_on_at_the_same_place() {
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &[(1, &[StreamType::Color])], Duration::from_secs(3));
    let mut played = play(&recorded.file, false);
    played.start(0, &[StreamType::Color]);
    played.run_until(|played| played.camera().playback(None).expect("a status").position > 1.2);
    let last = played.frames.try_iter().last().expect("a frame").number;
    played.camera().stop(0);
    played.start(0, &[StreamType::Color]);
    while played.frames.try_recv().is_ok() {}
    let next = played.frame().number;
    assert!(next + 15 > last, "from {last} to {next}");
    // A newcomer begins at the beginning.
    played.camera().stop(0);
    played.wait_for_silence(Duration::from_millis(600));
    played.start(0, &[StreamType::Color]);
    let next = played.frame().number;
    assert!(next < 15, "from {last} to {next}");
}

#[test]
fn what_is_asked_of_a_recording_while_nobody_watches_counts_for_whoever_comes() {
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &[(1, &[StreamType::Color])], Duration::from_secs(3));
    let mut played = play(&recorded.file, false);
    let status = played.playback(PlaybackCommand::Seek(Duration::from_secs(2)));
    assert_eq!(status.position, 2.0);
    played.start(0, &[StreamType::Color]);
    // What was read before the jump may still come.
    let numbers: Vec<_> = (0..12).map(|_| played.next().number).skip(4).collect();
    assert!(numbers.iter().all(|number| *number > 40), "{numbers:?}");
    assert!(numbers.is_sorted_by(|one, next| one < next), "none comes twice: {numbers:?}");
    // Paused at its end, where the SDK has stopped: nobody who comes then sees a picture that stands still.
    played.run_until(|played| played.camera().is_paused());
    played.playback(PlaybackCommand::Pause);
    played.camera().stop(0);
    played.wait_for_silence(Duration::from_millis(600));
    played.start(0, &[StreamType::Color]);
    let first = played.frame().number;
    played.run_until(|played| played.frames.try_iter().any(|frame| frame.number > first + 10));
}

/// Sensors are started one after the other: all of the first may be over by then.
#[test]
fn a_recording_begins_although_a_stream_of_it_is_over_at_once() {
    let recorded = record_with_few_of_depth(1);
    let mut played = play(&recorded.file, false);
    played.start_all();
    for _ in 0..20 {
        while played.next().stream != StreamType::Color {}
        played.playback(PlaybackCommand::Seek(Duration::ZERO));
        while played.frames.try_recv().is_ok() {}
    }
}

#[test]
fn pause_seek_and_speed() {
    let recorded = record(&mut Bench::new(Kind::SoftwareDevice), &[(1, &[StreamType::Color])], Duration::from_secs(3));
    let mut played = play(&recorded.file, true);
    played.start_all();
    let first = played.next().number;
    // A busy machine records fewer frames than 30 a second.
    let since = |from: u64, number: u64| {
        let of = |number| recorded.frames.iter().find(|frame| frame.number >= number).map(|frame| frame.captured_at);
        Some(of(number)?.saturating_duration_since(of(from)?))
    };
    let later = |time: Duration| (first..).find(|number| since(first, *number).is_none_or(|passed| passed >= time));
    let paused = played.playback(PlaybackCommand::Pause);
    assert!(paused.is_paused && played.camera().is_paused());
    played.wait_for_silence(Duration::from_millis(200));
    let still = played.camera().playback(None).expect("a status");
    assert!((still.position - paused.position).abs() < 0.2, "{still:?}");
    // Seeking while paused shows the picture there after resuming.
    played.playback(PlaybackCommand::Seek(Duration::from_millis(2000)));
    let resumed = played.playback(PlaybackCommand::Resume);
    assert!(!resumed.is_paused);
    let there = later(Duration::from_millis(1900)).expect("three seconds are recorded");
    let before: Vec<_> = (0..20).map(|_| played.next().number).collect();
    // All of them: the first is the picture of the place, which the SDK shows at once.
    assert!(before.iter().all(|number| *number >= there), "two seconds on, from {first} to {there}: {before:?}");
    for milliseconds in [0, 500, 1200, 100, 2200, 0] {
        let place = Duration::from_millis(milliseconds);
        played.playback(PlaybackCommand::Seek(place));
        let shown: Vec<_> = (0..16).map(|_| played.next().number).collect();
        // What was delivered before the jump may still lie in the queue.
        let there = later(place.saturating_sub(Duration::from_millis(100))).expect("it is recorded");
        assert!(shown[4..].iter().all(|number| (there..there + 28).contains(number)), "{place:?}: {shown:?}");
    }
    // Twice as fast: 30 frames take half the time that they took.
    assert_eq!(played.playback(PlaybackCommand::Speed(2.0)).speed, 2.0);
    let (begun, number) = (Instant::now(), played.next().number);
    played.run_until(|played| played.next().number >= number + 30);
    let (took, recorded_in) = (begun.elapsed(), since(number, number + 30).expect("as many are recorded"));
    assert!((0.35..0.85).contains(&took.div_duration_f64(recorded_in)), "{took:?} for {recorded_in:?}");
    for bad in
        [PlaybackCommand::Seek(Duration::from_secs(60)), PlaybackCommand::Speed(0.0), PlaybackCommand::Speed(f64::NAN)]
    {
        assert_eq!(played.camera().playback(Some(bad)).expect_err("refused").kind(), ErrorKind::Invalid, "{bad:?}");
    }
}

#[test]
fn a_live_camera_has_no_playback() {
    let mut bench = Bench::new(Kind::SoftwareDevice);
    assert_eq!(bench.camera().playback(None).expect_err("refused").kind(), ErrorKind::NotFound);
    assert_eq!(bench.camera().preset().expect_err("refused").kind(), ErrorKind::Invalid);
    assert_eq!(bench.camera().load_preset("{}").expect_err("refused").kind(), ErrorKind::Invalid);
    assert!(bench.backend.close_recording(&bench.id).is_err());
}
