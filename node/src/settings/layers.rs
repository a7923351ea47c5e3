//! Layers: the values that count, of all that were given, and where each was given.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::Given;
use super::keys::{Form, KEYS, Key, Mistake, SECTIONS, Value, Written};
use crate::application::nearest;
use crate::application::report::{Report, quoted};
use crate::application::syntax;
use crate::application::text::Text;
use crate::application::{Problem, Problems};

/// The values that count.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, (Value, Place)>,
    file: Option<Text>,
    problems: Vec<Problem>,
}

/// Where a value was given.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the file, at these bytes.
    File(Range<usize>),
    /// Somewhere else, by this name.
    Other(String),
}

impl Layers {
    /// Reads the layers, the last to count first.
    pub(super) fn read(given: &Given) -> Result<Self, Problems> {
        let mut layers = Self::default();
        if let Some(path) = &given.file {
            let text = Text::read(path)?;
            layers.read_file(&text)?;
            layers.file = Some(text);
        }
        layers.read_environment(&given.environment);
        for set in &given.set {
            layers.read_set(set);
        }
        layers.read_flags(&given.flags);
        Ok(layers)
    }

    /// Takes a value out, if there is one.
    pub(super) fn take(&mut self, key: &str) -> Option<(Value, Place)> {
        self.values.remove(key)
    }

    /// Something is wrong with what was given at a place.
    pub(super) fn is_wrong(&mut self, place: &Place, (message, expected): Mistake) {
        let problem = match (place, &self.file) {
            (Place::File(span), Some(text)) => Problem {
                file: text.file.clone(),
                place: Some(text.place(span)),
                message,
                expected: Some(expected),
            },
            (Place::File(_), None) => Problem::of_file("the node file", message, Some(expected)),
            (Place::Other(name), _) => Problem::of_file(name, message, Some(expected)),
        };
        self.problems.push(problem);
    }

    /// What is wrong, if anything is.
    pub(super) fn into_problems(self) -> Option<Problems> {
        (!self.problems.is_empty()).then_some(Problems {
            problems: self.problems,
            more: 0,
        })
    }

    /// Reads the file. Of one that is no TOML nothing else is said.
    fn read_file(&mut self, text: &Text) -> Result<(), Problems> {
        let mut report = Report::default();
        let (root, _) = syntax::parse(text, &mut report);
        if report.count() > 0 {
            return Err(report.into_problems(text));
        }
        let mut found = Vec::new();
        let mut known_or_told =
            |name: &str, word: &Spanned<Cow<'_, str>>, item, known: &[&str]| match find(name) {
                Some(key) => found.push((key, item)),
                None => {
                    report.add_unknown(word.span(), "key", word.get_ref(), known);
                }
            };
        let tops: Vec<&str> = SECTIONS.iter().copied().chain(names_of("")).collect();
        for (word, item) in root.get_ref() {
            let name = word.get_ref().as_ref();
            match item.get_ref() {
                DeValue::Table(table) if SECTIONS.contains(&name) => {
                    let known: Vec<&str> = names_of(name).collect();
                    for (word, item) in table {
                        known_or_told(&format!("{name}.{}", word.get_ref()), word, item, &known);
                    }
                }
                // A section that is no table has no key either: it is told as what it was to be.
                _ => known_or_told(name, word, item, &tops),
            }
        }
        for (key, item) in found {
            match key.form.read(Written::from(item.get_ref())) {
                Ok(value) => {
                    let place = Place::File(item.span());
                    self.values.insert(key.name, (value, place));
                }
                Err((message, expected)) => {
                    let message = format!("{}: {message}", key.name);
                    report.add(item.span(), message, Some(expected));
                }
            }
        }
        self.problems.extend(report.into_problems(text).problems);
        Ok(())
    }

    fn read_environment(&mut self, environment: &[(String, String)]) {
        let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
        let prefixes = SECTIONS
            .iter()
            .map(|section| format!("SYNERGY_{}_", section.to_uppercase()));
        let prefixes: Vec<String> = prefixes.collect();
        for (name, value) in environment {
            if let Some(index) = variables.iter().position(|known| known == name) {
                self.read_flat(&KEYS[index], value, name.clone());
            } else if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                // Other variables that begin with SYNERGY_ may be anybody's.
                let known: Vec<&str> = variables.iter().map(String::as_str).collect();
                let expected = nearest::one_of(name, &known).unwrap_or_default();
                let mistake = ("no key has this variable".to_owned(), expected);
                self.is_wrong(&Place::Other(name.clone()), mistake);
            }
        }
    }

    fn read_set(&mut self, set: &str) {
        let place = || format!("--set {set}");
        let Some((name, value)) = set.split_once('=') else {
            let mistake = (
                "there is no value".to_owned(),
                "section.key=value, such as network.id=lab".to_owned(),
            );
            return self.is_wrong(&Place::Other(place()), mistake);
        };
        match find(name.trim()) {
            Some(key) => self.read_flat(key, value, place()),
            None => {
                let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
                let expected = nearest::one_of(name, &known).unwrap_or_default();
                let mistake = (format!("unknown key {}", quoted(name)), expected);
                self.is_wrong(&Place::Other(place()), mistake);
            }
        }
    }

    /// Reads flags; what one flag that may be repeated was given is one list.
    fn read_flags(&mut self, flags: &[(&'static str, &'static str, String)]) {
        let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (flag, name, value) in flags {
            let key = find(name).expect("flags have keys, which a test checks");
            let value = match key.form {
                Form::Texts => {
                    let list = lists.entry(name).or_default();
                    list.push(value.clone());
                    list.join(",")
                }
                _ => value.clone(),
            };
            self.read_flat(key, &value, (*flag).to_owned());
        }
    }

    fn read_flat(&mut self, key: &'static Key, value: &str, name: String) {
        let place = Place::Other(name);
        match key.form.read(Written::Flat(value.to_owned())) {
            Ok(value) => {
                self.values.insert(key.name, (value, place));
            }
            Err(mistake) => self.is_wrong(&place, mistake),
        }
    }
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The names of a section's keys; of those at the top for the empty section.
fn names_of(section: &str) -> impl Iterator<Item = &'static str> + '_ {
    KEYS.iter()
        .filter_map(move |key| match key.name.split_once('.') {
            Some((of, name)) => (of == section).then_some(name),
            None => section.is_empty().then_some(key.name),
        })
}
