//! Whether words make pipelines: GStreamer's grammar without its meaning. Owns the place where a text stops making sense; knows
//! no element.

use super::lexer::{Kind, Word};

/// Checks that words make chains as GStreamer's grammar (`gst/parse/grammar.y`) has them: GStreamer reports a syntax error
/// without a place.
///
/// # Errors
/// The word at which the text stops making sense, and why.
pub fn check_syntax<'a, 'b>(words: &'b [Word<'a>]) -> Result<(), (&'b Word<'a>, String)> {
    let mut grammar = Grammar { words, at: 0 };
    let mut open = Vec::new();
    while let Some(word) = grammar.peek() {
        match word.kind {
            Kind::BinClose => {
                if open.pop().is_none() {
                    return Err((word, "a \")\" without its \"(\"".into()));
                }
                grammar.at += 1;
                grammar.rest_of_chain()?;
            }
            _ => grammar.chain()?,
        }
        // A bin's chains end with its ")", and the chain that it stands in goes on behind it.
        while let Some(word) = grammar.opened() {
            if matches!(grammar.peek().map(|word| &word.kind), None | Some(Kind::BinClose)) {
                return Err((word, "a \"(\" with nothing in it".into()));
            }
            open.push(word);
            grammar.chain()?;
        }
    }
    match open.pop() {
        Some(word) => Err((word, "a \"(\" without its \")\"".into())),
        None => Ok(()),
    }
}

struct Grammar<'a, 'b> {
    words: &'b [Word<'a>],
    at: usize,
}

type Refused<'a, 'b> = (&'b Word<'a>, String);

impl<'a, 'b> Grammar<'a, 'b> {
    fn peek(&self) -> Option<&'b Word<'a>> {
        self.words.get(self.at)
    }

    fn kind(&self) -> Option<&'b Kind<'a>> {
        self.peek().map(|word| &word.kind)
    }

    fn before(&self) -> Option<&'b Word<'a>> {
        self.words.get(self.at.checked_sub(1)?)
    }

    /// The "(" that was just passed, if one was, with its properties.
    fn opened(&self) -> Option<&'b Word<'a>> {
        let passed = self.words[..self.at].iter().rev();
        let mut passed = passed.skip_while(|word| matches!(word.kind, Kind::Property { .. }));
        passed.next().filter(|word| matches!(word.kind, Kind::BinOpen(_)))
    }

    /// A chain from its beginning, up to its end or into a bin.
    fn chain(&mut self) -> Result<(), Refused<'a, 'b>> {
        let Some(word) = self.peek() else { return Ok(()) };
        match word.kind {
            Kind::Url => self.at += 1,
            Kind::Reference { .. } => {
                self.reference();
                if !matches!(self.kind(), Some(Kind::Link { .. })) {
                    return Err((word, format!("'{}' leads nowhere; is a \"!\" missing behind it?", word.text)));
                }
            }
            Kind::Link { .. } => return Err((word, "a \"!\" with no element in front of it".into())),
            _ => return self.elementary(),
        }
        self.links()
    }

    /// An element with its pads, or the beginning of a bin, and what follows.
    fn elementary(&mut self) -> Result<(), Refused<'a, 'b>> {
        let Some(word) = self.peek() else { return Ok(()) };
        match &word.kind {
            Kind::Element | Kind::BinOpen(_) => self.at += 1,
            Kind::Property { name, .. } => return Err((word, format!("{name}=… stands behind no element"))),
            Kind::Pad => return Err((word, "a pad with no element beside it".into())),
            Kind::Other if word.text == "\"" => {
                return Err((word, "caps stand here without quotes around them".into()));
            }
            _ => return Err((word, format!("'{}' means nothing here", word.text))),
        }
        while matches!(self.kind(), Some(Kind::Property { .. })) {
            self.at += 1;
        }
        if matches!(word.kind, Kind::BinOpen(_)) { Ok(()) } else { self.rest_of_chain() }
    }

    /// What may stand behind an element or a bin: its pads, and links.
    fn rest_of_chain(&mut self) -> Result<(), Refused<'a, 'b>> {
        let pads = self.peek().filter(|word| matches!(word.kind, Kind::Pad));
        self.pads();
        match pads {
            Some(pad) if !matches!(self.kind(), Some(Kind::Link { .. })) => {
                Err((pad, format!("'{}' leads nowhere; is a \"!\" missing behind it?", pad.text)))
            }
            _ => self.links(),
        }
    }

    fn links(&mut self) -> Result<(), Refused<'a, 'b>> {
        let Some(link) = self.peek().filter(|word| matches!(word.kind, Kind::Link { .. })) else { return Ok(()) };
        self.at += 1;
        match self.kind() {
            None | Some(Kind::BinClose) => Err((link, "a \"!\" with no element behind it".into())),
            Some(Kind::Link { .. }) => {
                Err((self.peek().unwrap_or(link), "a \"!\" with no element in front of it".into()))
            }
            Some(Kind::Url) => {
                self.at += 1;
                Ok(())
            }
            Some(Kind::Reference { .. }) => {
                self.reference();
                Ok(())
            }
            Some(_) => {
                self.pads();
                if self.peek().is_none() {
                    return Err((self.before().unwrap_or(link), "a pad with no element behind it".into()));
                }
                self.elementary()
            }
        }
    }

    fn reference(&mut self) {
        self.at += 1;
        self.more_pads();
    }

    fn pads(&mut self) {
        if matches!(self.kind(), Some(Kind::Pad)) {
            self.at += 1;
            self.more_pads();
        }
    }

    fn more_pads(&mut self) {
        let is = |at: usize, wanted: &dyn Fn(&Word<'_>) -> bool| self.words.get(at).is_some_and(wanted);
        let mut at = self.at;
        while is(at, &|word| word.text == ",")
            && is(at + 1, &|word| word.kind == Kind::Pad && !word.text.starts_with('.'))
        {
            at += 2;
        }
        self.at = at;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::lexer::words;

    #[test]
    fn what_makes_no_sense_is_pointed_at() {
        for (text, at, why) in [
            ("a ! ! b", 4, "in front"),
            ("! a", 0, "in front"),
            ("a !", 2, "behind"),
            ("a ! x=1", 4, "x=…"),
            ("( a", 0, "without its \")\""),
            ("a )", 2, "without its \"(\""),
            ("a ; b", 2, "';'"),
            ("a ! b. ! c", 7, "in front"),
            ("a b. c", 2, "leads nowhere"),
            ("a .b c", 2, "leads nowhere"),
            ("a b. x=1", 2, "leads nowhere"),
            ("a ! b. x=1", 7, "x=…"),
            ("( ) a", 0, "nothing in it"),
            ("a ! ( x=1 )", 4, "nothing in it"),
            ("a ! .b", 4, "no element behind"),
            (".b a", 0, "a pad"),
            ("a , b", 2, "','"),
            ("a ! \"video/x-raw\" ! b", 4, "without quotes"),
        ] {
            let words = words(text);
            let (word, message) = check_syntax(&words).expect_err(text);
            assert_eq!(word.at, at, "{text}");
            assert!(message.contains(why), "{text}: {message}");
        }
        for text in [
            "a x=1 ! video/x-raw ! ( b ! c ) t. ! d .e,f ! g.h",
            "bin.( name=b a ! ( c d=1 ) .x,y ! .z ( e ) ) .src ! f g. ! h.i,j k : l.",
            "a ! file:///x b ! /tmp/y /tmp/z ! c",
            "( ( a ) )",
        ] {
            assert_eq!(check_syntax(&words(text)), Ok(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\u{e4}!=\"'().:/,]{0,200}") {
            let _ = check_syntax(&words(&text));
        }
    }
}
