//! `pipeline check`: pipelines are parsed and tried with test frames. Owns what is said of them.

use std::time::Duration;

use super::{
    subject::{StreamArgs, Subject, show_fault},
    terminal::say,
};
use crate::{
    config::Config,
    core::peer::h264::Profile,
    media::gst::offline::pipelines::{self, TryReport},
    model::Fault,
};

/// How long the first of them may take to come out. A hardware encoder opens its device first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks pipelines; all when none is named.
pub(super) fn run(config: &Config, names: &[String], with_frames: bool, stream: &StreamArgs) -> Result<bool, String> {
    let all = names.is_empty();
    let names = if all { pipelines::names(config) } else { names.to_vec() };
    let (mut good, mut absent, mut bad) = (0, 0, 0);
    for name in &names {
        let subject = Subject::find(config, name, stream)?;
        match check(config, &subject, with_frames) {
            Ok(found) => {
                good += 1;
                say(format!("{}: ok: {found}", subject.text.file));
            }
            // Files for other machines' hardware are no fault of this one's, unless somebody asks about them.
            Err(fault) if all && pipelines::lacks_element(&fault) => {
                absent += 1;
                say(format!("{}: not for this machine: {}", subject.text.file, fault.message));
            }
            Err(fault) => {
                bad += 1;
                say(show_fault(&fault, &subject.text.text));
            }
        }
    }
    if names.len() > 1 {
        let absent = if absent > 0 { format!(", {absent} not for this machine") } else { String::new() };
        say(format!("{good} of {} good{absent}, {bad} with a fault", names.len()));
    }
    Ok(bad == 0)
}

/// Builds it, and puts test pictures through: what was found, in words.
fn check(config: &Config, subject: &Subject, with_frames: bool) -> Result<String, Fault> {
    let encoder = pipelines::build(&subject.text, &subject.values)?.encoder().unwrap_or_else(|| "its encoder".into());
    let codec = subject.needs_codec().map_err(|message| Fault {
        file: subject.text.file.clone(),
        line: 1,
        message,
        ..Fault::default()
    })?;
    if !with_frames {
        return Ok(format!("{encoder}, parses"));
    }
    let TryReport { pictures, units, held_back, key_on_request, headers_repeat, profile, first, .. } =
        pipelines::try_pipeline(&subject.text, &subject.values, codec, PATIENCE)?;
    let mut found = format!(
        "{encoder}, {}; {units} of {pictures} test pictures came out, the first after {} ms",
        subject.describe(),
        first.as_millis()
    );
    // It works, but viewers would notice.
    if held_back > 0 {
        found.push_str(&format!("; note: it holds back {held_back}, so pictures are that many late"));
    }
    if !key_on_request {
        found.push_str("; note: it gives no key frame when asked, so who joins waits for the next one");
    }
    if !headers_repeat {
        found.push_str("; note: not every key frame decodes by itself, so only the first viewer would see something");
    }
    for note in profile.map(|made| profile_notes(made, pipelines::declared(config, &subject.text))).unwrap_or_default()
    {
        found.push_str("; note: ");
        found.push_str(&note);
    }
    Ok(found)
}

/// What viewers would notice of the H.264 profile that comes out, where the caps in the file ask for `declared`.
fn profile_notes(made: Profile, declared: Option<Profile>) -> Vec<String> {
    let mut notes = Vec::new();
    if !made.is_for_all_browsers() {
        notes.push(format!(
            "it makes {made} profile, which not every browser takes (some answer with another codec or none, Safari is reported \
             to stay black with high); profile=constrained-baseline in the caps behind the encoder is for all"
        ));
    }
    let announced = declared.unwrap_or(Profile::CONSTRAINED_BASELINE);
    if !made.is_same_as(announced) {
        notes.push(format!(
            "it makes {made} profile, but offers announce {announced} until it has run once; name the profile in the caps \
             behind the encoder"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_not_all_browsers_show_or_that_is_not_announced_is_noted() {
        let high = profile_notes(Profile::HIGH, Some(Profile::HIGH));
        assert!(high.len() == 1 && high[0].contains("high profile") && high[0].contains("Safari"), "{high:?}");
        for declared in [None, Some(Profile::CONSTRAINED_BASELINE)] {
            let notes = profile_notes(Profile::HIGH, declared);
            assert!(notes.len() == 2 && notes[1].contains("announce constrained baseline"), "{notes:?}");
        }
        let unnamed = profile_notes(Profile::MAIN, None);
        assert!(unnamed.len() == 2 && unnamed[1].contains("main profile, but"), "{unnamed:?}");
        assert_eq!(profile_notes(Profile::MAIN, Some(Profile::MAIN)).len(), 1);
        let baseline = Profile::from_caps("baseline").expect("a profile");
        assert_eq!(baseline.announced(), Profile::CONSTRAINED_BASELINE);
        for made in [Profile::CONSTRAINED_BASELINE, baseline] {
            assert_eq!(profile_notes(made, None), [""; 0]);
        }
    }
}
