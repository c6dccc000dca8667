//! How the probe tells its findings: lines and aligned tables for a person, one JSON object for a machine.
//! Owns the verdict; prints to standard output, which is what a command line tool is for.

use std::io::Write;

use serde_json::{Map, Value, json};

/// Prints a line. A reader that went away (`| head`) is no reason to fail: the verdict is the exit code.
macro_rules! print_line {
    ($($part:tt)*) => {
        drop(writeln!(std::io::stdout(), $($part)*))
    };
}

/// Collects findings and prints them.
pub struct Report {
    title: String,
    json: bool,
    steps: Vec<Step>,
    data: Map<String, Value>,
}

struct Step {
    name: String,
    passed: bool,
    detail: String,
}

impl Report {
    /// A report; with `json` nothing is printed before [`Report::finish`].
    pub fn new(title: impl Into<String>, json: bool) -> Self {
        let title = title.into();
        if !json {
            print_line!("{title}");
        }
        Self { title, json, steps: Vec::new(), data: Map::new() }
    }

    /// Records a step; `Ok` carries what was seen, `Err` what was wrong. Gives back whether it passed.
    pub fn step(&mut self, name: impl Into<String>, outcome: Result<String, String>) -> bool {
        let passed = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|wrong| wrong);
        let name = name.into();
        if !self.json {
            print_line!("  {}  {name:<46} {detail}", if passed { "PASS" } else { "FAIL" });
        }
        self.steps.push(Step { name, passed, detail });
        passed
    }

    /// Prints a line that is no finding.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            print_line!("{}", text.as_ref());
        }
    }

    /// Prints an aligned table: numbers to the right, words to the left.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        if !self.json {
            print!("{}", format_table(head, rows));
        }
    }

    /// Adds a value to the JSON object.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.data.insert(key.into(), value.into());
    }

    /// Prints the verdict, or the JSON object, and gives back whether every step passed.
    pub fn finish(mut self) -> bool {
        let failed = self.steps.iter().filter(|step| !step.passed).count();
        if self.json {
            let steps: Vec<_> = self.steps.iter().map(Step::to_json).collect();
            self.data.insert("title".into(), self.title.into());
            self.data.insert("passed".into(), (failed == 0).into());
            self.data.insert("steps".into(), steps.into());
            print_line!("{}", Value::Object(self.data));
        } else if !self.steps.is_empty() {
            let total = self.steps.len();
            match failed {
                0 if total == 1 => print_line!("PASS."),
                0 => print_line!("PASS: all {total} steps."),
                _ => print_line!("FAIL: {failed} of {total} steps."),
            }
        }
        failed == 0
    }
}

impl Step {
    fn to_json(&self) -> Value {
        json!({ "name": self.name, "passed": self.passed, "detail": self.detail })
    }
}

fn format_table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, name)| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0).max(name.chars().count()))
        .collect();
    let numeric = |text: &str| text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let mut out = String::new();
    let heads: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    for (index, row) in std::iter::once(&heads).chain(rows).enumerate() {
        let mut line = String::from(" ");
        for (column, width) in widths.iter().enumerate() {
            let text = row.get(column).map_or("", String::as_str);
            // A heading follows its column.
            let sample =
                if index == 0 { rows.first().and_then(|row| row.get(column)).map_or("", |text| text) } else { text };
            let padding = " ".repeat(width - text.chars().count());
            let (before, after) = if numeric(sample) { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.push_str(&format!(" {before}{text}{after}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Milliseconds with no more digits than a person needs; a dash for what never happened.
pub fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["color".into(), "9".into()], vec!["infrared-1".into(), "12.5".into()]];
        let table = format_table(&["stream", "fps"], &rows);
        assert_eq!(table, "  stream      fps\n  color         9\n  infrared-1 12.5\n");
    }

    #[test]
    fn one_failed_step_fails_the_report() {
        let mut report = Report::new("t", true);
        assert!(report.step("a", Ok("fine".into())));
        assert!(!report.step("b", Err("bad".into())));
        assert!(!report.finish());
        assert!(Report::new("t", true).finish());
    }
}
