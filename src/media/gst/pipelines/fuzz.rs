//! What fuzzing asserts of pipeline files: words and faults lie in the file, the same text gives the same, and GStreamer makes
//! nothing that was not looked up.

use std::collections::BTreeSet;

use gst::prelude::*;

use super::{build::build, check::Sheet, text::Text};
use crate::{
    core::text::{
        lexer::{Kind, Word, words},
        syntax::check_syntax,
        template::{Fault, Rendered, Template, Values, segments, title},
    },
    media::gst::walk::factory_name,
};

/// What GStreamer is let build here: what touches neither files nor devices nor the network when it is made. Others are looked
/// up only.
const HARMLESS: [&str; 16] = [
    "appsrc",
    "bin",
    "capsfilter",
    "fakesink",
    "h264parse",
    "identity",
    "queue",
    "tee",
    "textoverlay",
    "valve",
    "videoconvert",
    "videorate",
    "videoscale",
    "vp8enc",
    "vp9enc",
    "x264enc",
];

/// The file's name, as messages have it.
const FILE: &str = "fuzz.gst";

/// A pipeline file's text.
pub fn pipeline(data: &[u8]) {
    gst::init().expect("GStreamer");
    let text = String::from_utf8_lossy(data).into_owned();
    assert!(!title(&text).contains('\n'));
    let values = Values::example();
    let template = match Template::parse(FILE, &text) {
        Ok(template) => template,
        Err(fault) => return lies_in(&text, &fault),
    };
    let rendered = template.render_placed(&values);
    assert_eq!(rendered.text, template.render(&values), "filled in twice, it is another text");
    assert!(segments(&rendered.text).iter().all(|segment| (1..=lines(&text)).contains(&segment.line)));
    let found = words(&rendered.text);
    words_cover(&text, &rendered, &found);
    let sheet = Sheet::new(&template, &rendered);
    let verdict = sheet.check();
    assert_eq!(verdict, Sheet::new(&template, &rendered).check(), "looked up twice, it is judged otherwise");
    let sound = check_syntax(&found).is_ok();
    match verdict {
        Err(fault) => lies_in(&text, &fault),
        Ok(()) => {
            assert!(sound, "what is no syntax passes");
            builds_what_it_names(text, &values, &found);
        }
    }
}

fn lines(text: &str) -> usize {
    text.lines().count().max(1)
}

/// Words are in order, and between them is nothing but blanks; every one has a place in the file.
fn words_cover(text: &str, rendered: &Rendered, words: &[Word<'_>]) {
    let mut end = 0;
    for word in words {
        assert!(rendered.text[end..word.at].chars().all(|c| c.is_ascii_whitespace()), "something is no word");
        end = word.at + word.text.len();
        assert_eq!(&rendered.text[word.at..end], word.text);
        let (line, column) = rendered.place(word.at);
        let width = text.lines().nth(line - 1).map(|line| line.chars().count());
        assert!(width.is_some_and(|width| (1..=width).contains(&column)), "{} stands at {line}:{column}", word.text);
    }
    assert!(rendered.text[end..].chars().all(|c| c.is_ascii_whitespace()), "something is no word");
}

/// Whether a fault points into the file and says something.
fn lies_in(text: &str, fault: &Fault) {
    assert_eq!(fault.file, FILE);
    assert!(fault.message.len() > 10 && fault.to_string().starts_with("fuzz.gst:"), "{fault}");
    assert!((1..=lines(text)).contains(&fault.line), "{fault} lies outside of the file");
    let width = text.lines().nth(fault.line - 1).map_or(0, |line| line.chars().count());
    assert!(fault.column.is_none_or(|column| (1..=width + 1).contains(&column)), "{fault} lies outside of its line");
}

/// Has GStreamer build what passed, where that is harmless: no element is made but those that were looked up.
fn builds_what_it_names(text: String, values: &Values, words: &[Word<'_>]) {
    let mut named = BTreeSet::new();
    for word in words {
        match word.kind {
            Kind::Element => named.insert(word.text.to_owned()),
            Kind::BinOpen(name) => named.insert(name.unwrap_or("bin").to_owned()),
            Kind::Link { caps: Some(_) } => named.insert("capsfilter".to_owned()),
            Kind::Url => return,
            _ => false,
        };
    }
    if !named.iter().all(|name| HARMLESS.contains(&name.as_str())) {
        return;
    }
    let copy = text.clone();
    match build(&Text { name: "color.h264".into(), file: FILE.into(), text, unreadable: None }, values) {
        Err(fault) => lies_in(&copy, &fault),
        Ok(graph) => {
            for element in graph.pipeline.iterate_recurse().into_iter().flatten() {
                let made = factory_name(&element);
                assert!(named.contains(made.as_str()), "{made} was made and is not named in the text");
            }
            let (_, now, next) = graph.pipeline.state(gst::ClockTime::ZERO);
            assert_eq!((now, next), (gst::State::Null, gst::State::VoidPending), "it was started");
            assert!(!graph.source.is_block() && graph.source.max_buffers() > 0, "a push into it may wait");
        }
    }
}
