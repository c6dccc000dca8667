//! What is wrong with a pipeline's text, and where: every element, property, value and caps is looked up before GStreamer
//! parses, and what GStreamer then still complains about is given a place. Owns no pipeline and refuses nothing that
//! GStreamer would run as it is written.

use std::str::FromStr;

use gst::{glib, prelude::*};

use super::{
    packages::{exists, how_to_get, known_elements},
    values::{class_of, refusal},
};
use crate::core::text::{
    lexer::{self, Kind, Word, words},
    nearest::nearest,
    syntax::check_syntax,
    template::{self, Fault, Rendered, Template},
};

/// A pipeline's text in all its forms.
pub(super) struct Sheet<'a> {
    template: &'a Template,
    rendered: &'a Rendered,
    words: Vec<Word<'a>>,
}

/// GStreamer's complaint about a text.
pub(in crate::media::gst) struct ParseFault {
    error: glib::Error,
    missing: Vec<String>,
}

/// Has GStreamer parse a text.
///
/// # Errors
/// GStreamer's complaint.
pub(in crate::media::gst) fn parse(text: &str) -> Result<gst::Element, ParseFault> {
    let mut context = gst::ParseContext::new();
    gst::parse::launch_full(text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS).map_err(|error| ParseFault {
        error,
        missing: context.missing_elements().iter().map(ToString::to_string).collect(),
    })
}

impl<'a> Sheet<'a> {
    pub(in crate::media::gst) fn new(template: &'a Template, rendered: &'a Rendered) -> Self {
        Self { template, rendered, words: words(&rendered.text) }
    }

    /// A fault at a byte of the rendered text.
    fn fault(&self, at: usize, token: &str, nearest: Option<String>, message: String) -> Fault {
        self.template.fault_at(self.rendered.place(at), token, nearest, message)
    }

    /// A fault at the word that makes the element of this name: the one that is given it, else the first of the factory that
    /// GStreamer named it after. Line 1 where there is none.
    pub(super) fn fault_of(&self, name: &str, message: String) -> Fault {
        match self.element(name) {
            Some(word) => self.fault(word.at, word.text, None, message),
            None => self.template.fault(self.template.line_of(name), message),
        }
    }

    /// A fault at the first element of this factory.
    pub(super) fn fault_of_factory(&self, factory: &str, message: String) -> Fault {
        match self.words.iter().find(|word| word.kind == Kind::Element && word.text == factory) {
            Some(word) => self.fault(word.at, word.text, None, message),
            None => self.template.fault(self.template.line_of(factory), message),
        }
    }

    /// A fault at the caps in front of the element of this name, else at the element.
    pub(super) fn fault_of_caps(&self, name: &str, message: String) -> Fault {
        let index = self.element(name).and_then(|element| self.words.iter().position(|word| word.at == element.at));
        let before = index.map_or(&[][..], |index| &self.words[..index]);
        let caps = before.iter().rev().find_map(|word| match word.kind {
            Kind::Link { caps: Some(caps) } => Some(caps),
            _ => None,
        });
        match caps {
            Some((caps, at)) => self.fault(at, caps, None, message),
            None => self.fault_of(name, message),
        }
    }

    /// The word that makes the element of this name.
    fn element(&self, name: &str) -> Option<&Word<'a>> {
        let mut owner = None;
        for word in &self.words {
            match word.kind {
                Kind::Element | Kind::BinOpen(_) => owner = Some(word),
                Kind::Property { .. } if word.value_of("name").as_deref() == Some(name) => return owner,
                _ => {}
            }
        }
        // An element without a name of its own is called after its factory, with a number.
        let numbered =
            |factory: &str| name.strip_prefix(factory).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()));
        let unnamed = self.words.iter().filter(|word| word.kind == Kind::Element && numbered(word.text));
        // queue20 is the first queue2, not the twentieth queue.
        unnamed.fold(None, |best: Option<&Word<'_>>, word| {
            Some(best.filter(|best| best.text.len() >= word.text.len()).unwrap_or(word))
        })
    }

    /// Looks up everything that can be looked up.
    ///
    /// # Errors
    /// The first word that GStreamer would not take, with the nearest that it would.
    pub(in crate::media::gst) fn check(&self) -> Result<(), Fault> {
        let syntax = check_syntax(&self.words);
        for index in 0..self.words.len() {
            self.check_media_type(index)?;
        }
        syntax.map_err(|(word, why)| self.fault(word.at, word.text, None, format!("syntax error: {why}")))?;
        self.check_named()?;
        let mut factory = None;
        for word in &self.words {
            match &word.kind {
                Kind::Element => factory = Some(self.find(word.at, word.text)?),
                Kind::BinOpen(name) => factory = Some(self.find(word.at, name.unwrap_or("bin"))?),
                Kind::Property { name, value, value_at } => {
                    if let Some(factory) = &factory {
                        self.check_property(factory, word.at, name, (value, *value_at))?;
                    }
                }
                Kind::Link { caps: Some((caps, at)) } => {
                    factory = None;
                    self.check_caps(caps, *at)?;
                }
                _ => factory = None,
            }
        }
        Ok(())
    }

    /// What must be an appsrc or a tee is one: said before a wrong element's properties are found wrong.
    fn check_named(&self) -> Result<(), Fault> {
        for (name, wanted, what) in [("source", "appsrc", "the appsrc"), ("fanout", "tee", "a tee")] {
            let Some(word) = self.element(name).filter(|word| word.kind == Kind::Element && word.text != wanted) else {
                continue;
            };
            self.find(word.at, word.text)?;
            let message = format!("name={name} is a {}; it must be {what}", word.text);
            return Err(self.fault(word.at, word.text, None, message));
        }
        Ok(())
    }

    /// `video/x-raw` that reads like an element, because a "!" or the quotes' absence is missed beside it. No element's name is
    /// followed by a slash.
    fn check_media_type(&self, index: usize) -> Result<(), Fault> {
        let word = &self.words[index];
        if word.kind != Kind::Element {
            return Ok(());
        }
        let Some(rest) = self.words.get(index + 1).filter(|next| next.at == word.at + word.text.len()) else {
            return Ok(());
        };
        if rest.kind != Kind::Url || !rest.text.starts_with('/') {
            return Ok(());
        }
        let quote = index.checked_sub(1).map(|before| &self.words[before]);
        let quote = quote.filter(|before| before.text == "\"" && before.at + 1 == word.at);
        let start = quote.map_or(word.at, |quote| quote.at);
        let token = &self.rendered.text[start..rest.at + rest.text.len()];
        let message = match quote {
            Some(_) => "caps stand here without quotes around them",
            None => "caps stand between two \"!\": there is no \"!\" behind these caps, or none in front of them",
        };
        Err(self.fault(start, token, None, message.into()))
    }

    fn find(&self, at: usize, name: &str) -> Result<gst::ElementFactory, Fault> {
        gst::ElementFactory::find(name).ok_or_else(|| self.no_element(at, name))
    }

    fn no_element(&self, at: usize, name: &str) -> Fault {
        let message = format!("there is no GStreamer element '{name}'");
        if exists(name) {
            return self.fault(at, name, None, format!("{message}; {}", how_to_get(name)));
        }
        let installed = gst::ElementFactory::factories_with_type(gst::ElementFactoryType::ANY, gst::Rank::NONE);
        let installed: Vec<_> = installed.iter().map(|factory| factory.name().to_string()).collect();
        let near = nearest(name, installed.iter().map(String::as_str).chain(known_elements()));
        let hint = match near {
            Some(near) if installed.iter().any(|name| name == near) => format!("did you mean {near}?"),
            Some(near) => format!("did you mean {near}? That one is not installed; {}", how_to_get(near)),
            None => how_to_get(name),
        };
        self.fault(at, name, near.map(ToOwned::to_owned), format!("{message}; {hint}"))
    }

    fn check_property(
        &self,
        factory: &gst::ElementFactory,
        at: usize,
        name: &str,
        (value, value_at): (&str, usize),
    ) -> Result<(), Fault> {
        // Children and presets are the element's own business.
        if name.contains("::") || name.starts_with('@') {
            return Ok(());
        }
        let Some(class) = class_of(factory) else { return Ok(()) };
        let element = factory.name();
        let Some(property) = class.find_property(name) else {
            let known = class.list_properties();
            let settable = known.iter().filter(|known| known.flags().contains(glib::ParamFlags::WRITABLE));
            let near = nearest(name, settable.map(glib::ParamSpec::name));
            let hint = near.map_or_else(
                || format!("`gst-inspect-1.0 {element}` lists what it has"),
                |near| format!("did you mean {near}?"),
            );
            let message = format!("{element} has no property '{name}'; {hint}");
            return Err(self.fault(at, name, near.map(ToOwned::to_owned), message));
        };
        let plain = lexer::plain(value);
        let Some((why, near)) = refusal(&property, &plain) else { return Ok(()) };
        Err(self.fault(value_at, value, near, format!("'{plain}' is no value for {element}'s {name}; {why}")))
    }

    fn check_caps(&self, caps: &str, at: usize) -> Result<(), Fault> {
        // Backslashes and quotes are read in more than one way.
        if caps.contains(['\\', '"', '\'']) || gst::Caps::from_str(caps).is_ok() {
            return Ok(());
        }
        // The first field that makes them unreadable.
        let mut end = caps.len();
        for (comma, _) in caps.match_indices(',') {
            if gst::Caps::from_str(&caps[..comma]).is_err() {
                end = comma;
                break;
            }
        }
        let start = caps[..end].rfind(',').map_or(0, |comma| comma + 1);
        let field = &caps[start..end];
        let blank = field.len() - field.trim_start().len();
        let token = field.trim();
        let message =
            format!("the caps cannot be read at '{token}'; they look like video/x-raw,format=I420,framerate=30/1");
        Err(self.fault(at + start + blank, token, None, message))
    }

    /// Gives GStreamer's complaint, which knows no places, the best place there is.
    pub(super) fn locate(&self, fault: &ParseFault) -> Fault {
        // GStreamer also lists elements here that are there but would not take a property.
        if let Some(element) = fault.missing.iter().find(|element| gst::ElementFactory::find(element).is_none()) {
            return self.fault_of_factory(
                element,
                format!("there is no GStreamer element '{element}'; {}", how_to_get(element)),
            );
        }
        let message = fault.error.message().to_owned();
        if let Some(fault) = self.unknown_reference(&message) {
            return fault;
        }
        if message.starts_with("could not link ") {
            return self.locate_link(&message);
        }
        // The piece that fails alone is at fault.
        for segment in template::segments(&self.rendered.text) {
            if let Err(alone) = parse_segment(&segment.text) {
                let (offset, text) = blame(&segment.text, alone.error.message());
                return self.template.fault(segment.line + offset, text);
            }
        }
        self.template.fault(1, message)
    }

    /// `No src-element named "tee" - omitting link`.
    fn unknown_reference(&self, message: &str) -> Option<Fault> {
        let name = message.split_once("-element named \"")?.1.split('"').next()?;
        let word =
            self.words.iter().find(|word| matches!(&word.kind, Kind::Reference { element, .. } if *element == name))?;
        let names: Vec<_> = self.words.iter().filter_map(|word| word.value_of("name")).collect();
        let near = nearest(name, names.iter().map(String::as_str));
        let hint = near.map_or(String::new(), |near| format!("; did you mean {near}.?"));
        let message = format!("no element has name={name}, which '{}' refers to{hint}", word.text);
        Some(self.fault(word.at, word.text, near.map(ToOwned::to_owned), message))
    }

    /// `could not link a to b`, or `could not link a to b, a can't handle caps …`.
    fn locate_link(&self, message: &str) -> Fault {
        let parts: Vec<_> = message.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
        let source = parts.get(3).copied().unwrap_or_default();
        let target = parts.get(5).copied().unwrap_or_default();
        if message.contains(" caps ") {
            // They stand between the two.
            if let Some(word) = self.element(target).filter(|_| self.element(source).is_some()) {
                let from = self.element(source).map_or(0, |word| word.at);
                let between = self.words.iter().find_map(|word| match word.kind {
                    Kind::Link { caps: Some((caps, at)) } if at > from => Some((caps, at)),
                    _ => None,
                });
                if let Some((caps, at)) = between.filter(|(_, at)| *at < word.at || word.at < from) {
                    return self.fault(at, caps, None, message.to_owned());
                }
            }
        }
        self.fault_of(target, message.to_owned())
    }
}

/// Caps alone are not a pipeline; the elements they stand between are.
fn parse_segment(text: &str) -> Result<(), ParseFault> {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_caps = first.split(',').next().is_some_and(|word| word.contains('/') && !word.contains('='));
    let text = if is_caps { format!("identity ! {text} ! identity") } else { text.to_owned() };
    // A part of what is right need not be right by itself. And GStreamer 1.22.0 ends the process over a link to a reference in
    // a text of which no element could be made.
    let words = words(&text);
    if check_syntax(&words).is_err() || words.iter().any(|word| matches!(word.kind, Kind::Reference { .. })) {
        return Ok(());
    }
    parse(&text).map(|_| ())
}

/// The line within a segment that holds what GStreamer complains about in quotes, and the complaint.
fn blame(segment: &str, message: &str) -> (usize, String) {
    let quoted = message.split('"').nth(1).unwrap_or_default();
    let offset = segment.lines().position(|line| !quoted.is_empty() && line.contains(quoted)).unwrap_or(0);
    (offset, message.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::text::template::Values;

    /// Pieces of pipelines, good and bad; enough sense in them that many combinations are taken.
    const PIECES: [&str; 46] = [
        "videotestsrc",
        "fakesink",
        "queue",
        "identity",
        "tee",
        "x264enc",
        "fakesrc",
        "video",
        "qqq",
        "queue2",
        "!",
        "!",
        "!",
        "! !",
        "! video/x-raw !",
        "! video/x-raw,format={I420,NV12} !",
        "! video/x-raw, width=(int)[1,5] !",
        "! video/x-raw,x=(strin)y !",
        "(",
        ")",
        "bin.(",
        "name=a",
        "name = \"a b\"",
        "a.",
        "a.src",
        "a.sink_0",
        ".src",
        ".src_0,src_1",
        "num-buffers=1",
        "silent=true",
        "silent=maybe",
        "sync=0",
        "max-size-time=5",
        "max-size-buffers=-1",
        "pattern=ball",
        "pattern=99",
        "pattern=\"smpte\"",
        "nosuch=1",
        "sink::sync=true",
        "@preset=x",
        "tune=zerolatency+fastdecode",
        "location=/nowhere",
        "/nowhere/x",
        ":",
        ",",
        "\\",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..Default::default() })]

        /// Behind a pipeline that is right, anything: nothing panics or brings GStreamer down, and every fault points into the
        /// file.
        #[test]
        fn no_text_brings_it_down_and_faults_lie_in_the_file(
            pieces in prop::collection::vec((0..PIECES.len(), "[ \n]{1,2}|"), 0..9)
        ) {
            gst::init().expect("GStreamer");
            let more: String = pieces.iter().map(|(piece, blank)| format!("{}{blank}", PIECES[*piece])).collect();
            let text = format!("appsrc name=source ! x264enc name=encoder\n! tee name=fanout {more}");
            let Ok(template) = Template::parse("fuzz", &text) else { return Ok(()) };
            let rendered = template.render_placed(&Values::example());
            let sheet = Sheet::new(&template, &rendered);
            let sound = check_syntax(&sheet.words).is_ok();
            let fault = match sheet.check() {
                Ok(()) => match parse(&rendered.text) {
                    Ok(_) => return Ok(()),
                    Err(error) => sheet.locate(&error),
                },
                Err(fault) => {
                    // GLib takes no notice of such a value, and says so on the terminal only.
                    let ignored = fault.message.contains("it takes whole numbers");
                    prop_assert!(!sound || ignored || parse(&rendered.text).is_err(), "GStreamer takes {}: {}", text, fault);
                    fault
                }
            };
            let width = text.lines().nth(fault.line - 1).map(|line| line.chars().count());
            prop_assert!(width.is_some(), "{}: {}", text, fault);
            prop_assert!(fault.column.is_none_or(|column| (1..=width.unwrap_or(0) + 1).contains(&column)), "{}: {}", text, fault);
            prop_assert!(fault.message.len() > 10);
        }
    }

    /// A list of texts that GStreamer 1.22 took, out of thousands put together from the pieces above by chance.
    #[test]
    fn nothing_that_gstreamer_takes_is_refused() {
        gst::init().expect("GStreamer");
        for more in include_str!("../../../../tests/pipelines/taken.txt").lines() {
            let text = format!("appsrc name=source ! x264enc name=encoder ! tee name=fanout {more}");
            let template = Template::parse("taken", &text).expect("has its names");
            let rendered = template.render_placed(&Values::example());
            if let Err(fault) = Sheet::new(&template, &rendered).check() {
                // GLib takes no notice of such a value, and says so on the terminal only.
                assert!(fault.message.contains("it takes whole numbers"), "{more}: {fault}");
            }
        }
    }
}
